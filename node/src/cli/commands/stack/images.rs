//! What registries say that images are.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use serde::Deserialize;
use services::spec::Platform;
use tokio::time::timeout;

use super::Session;
use crate::api::convert;
use crate::cli::args::ResolveImage;
use crate::cli::client::Target;
use crate::cli::error::CliError;
use crate::cli::stack::{Found, IMAGE_LABEL, Images, Pinned, Wanted};

/// How long a registry may take: sites without a way out answer nothing at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// `GET /distribution/{image}/json`, which the node's engine answers.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Distribution {
    descriptor: Descriptor,
    platforms: Vec<ImagePlatform>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Descriptor {
    digest: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ImagePlatform {
    architecture: String,
    os: String,
    variant: String,
}

impl Session<'_> {
    /// The images that a registry tells of; the others are warned of, and stay
    /// as they are written.
    pub(super) async fn pinned(
        &mut self,
        wanted: &Wanted,
        found: &Found,
        when: ResolveImage,
    ) -> Result<Images, CliError> {
        let asked = asked(wanted, found, when);
        let answers = join_all(asked.iter().map(|image| self.ask_registry(image))).await;
        let mut images = Images::new();
        for (image, answer) in asked.iter().zip(answers) {
            match answer {
                Some(pinned) => {
                    images.insert((*image).to_owned(), pinned);
                }
                None => writeln!(
                    self.err,
                    "image {image} could not be accessed on a registry to record\n\
                     its digest. Each node will access {image} independently,\n\
                     possibly leading to different nodes running different\n\
                     versions of the image.\n"
                )?,
            }
        }
        Ok(images)
    }

    async fn ask_registry(&self, image: &str) -> Option<Pinned> {
        let mut path = vec!["distribution"];
        path.extend(image.split('/'));
        path.push("json");
        let target = Target::new(&path);
        let answer = timeout(PATIENCE, self.client.get::<Distribution>(&target)).await;
        let distribution = answer.ok()?.ok()?;
        let digest = distribution.descriptor.digest;
        if digest.is_empty() {
            return None;
        }
        let platforms = distribution.platforms.into_iter();
        Some(Pinned {
            image: format!("{image}@{digest}"),
            platforms: platforms
                .map(|it| Platform::of_image(&it.os, &it.architecture, &it.variant))
                .map(|it| convert::show_platform(&it))
                .collect(),
        })
    }
}

/// The images whose digests are asked for.
fn asked<'a>(wanted: &'a Wanted, found: &Found, when: ResolveImage) -> BTreeSet<&'a str> {
    let is_known = |name: &str, image: Option<&String>| {
        let mut services = found.services.iter().map(|service| &service.spec);
        services.any(|spec| spec.name == name && spec.labels.get(IMAGE_LABEL) == image)
    };
    let specs = wanted.services.iter().map(|service| &service.spec);
    specs
        .filter(|spec| match when {
            ResolveImage::Always => true,
            ResolveImage::Changed => !is_known(&spec.name, spec.labels.get(IMAGE_LABEL)),
            ResolveImage::Never => false,
        })
        .filter_map(|spec| spec.task_template.container_spec.as_ref())
        .map(|container| container.image.as_str())
        .filter(|image| !image.contains('@'))
        .collect()
}
