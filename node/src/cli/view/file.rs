//! `secret ls`, `config ls` and their `inspect --pretty`.

use serde::Serialize;
use services::file::FileKind;

use super::human::natural_order;
use super::network::labels;
use super::page::Page;
use super::swarm::{ago, time};
use super::table::table;
use crate::api::dto::{File, Time};

/// A line of `ls`; its fields are the keys of `--format json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FileRow {
    pub created_at: String,
    /// Of secrets alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    #[serde(rename = "ID")]
    pub id: String,
    pub labels: String,
    pub name: String,
    pub updated_at: String,
}

/// The secrets or configs by name.
pub fn file_rows(kind: FileKind, files: &[File], now: Time) -> Vec<FileRow> {
    let mut files: Vec<&File> = files.iter().collect();
    files.sort_by(|a, b| natural_order(&a.spec.name, &b.spec.name).then_with(|| a.id.cmp(&b.id)));
    let row = |file: &File| FileRow {
        created_at: ago(file.created_at, now),
        driver: (kind == FileKind::Secret).then(|| driver(file)),
        id: file.id.clone(),
        labels: labels(Some(&file.spec.labels)),
        name: file.spec.name.clone(),
        updated_at: ago(file.updated_at, now),
    };
    files.into_iter().map(row).collect()
}

fn driver(file: &File) -> String {
    let driver = file.spec.driver.as_ref();
    driver.map(|driver| driver.name.clone()).unwrap_or_default()
}

pub fn file_table(kind: FileKind, rows: &[FileRow]) -> String {
    let mut header = vec!["ID", "NAME", "DRIVER", "CREATED", "UPDATED"];
    if kind == FileKind::Config {
        header.remove(2);
    }
    let cells = rows.iter().map(|row| {
        let mut cells = vec![row.id.clone(), row.name.clone()];
        cells.extend(row.driver.clone());
        cells.extend([row.created_at.clone(), row.updated_at.clone()]);
        cells
    });
    table(&header, &cells.collect::<Vec<_>>())
}

pub fn file_page(kind: FileKind, file: &File) -> String {
    let mut page = Page::new(16);
    page.line(0, "ID", &file.id);
    page.line(0, "Name", &file.spec.name);
    page.pairs("Labels", &file.spec.labels);
    if kind == FileKind::Secret {
        page.line(0, "Driver", &driver(file));
    }
    page.line(0, "Created at", &time(file.created_at));
    page.line(0, "Updated at", &time(file.updated_at));
    if kind == FileKind::Config {
        page.head("Data");
        page.text(&String::from_utf8_lossy(&file.spec.data.0));
    }
    page.finish()
}
