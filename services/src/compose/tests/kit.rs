//! A tree of files in memory, and what is loaded from it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::compose::{FileError, Files, Loaded, Project, Request, Service, load};

pub const ROOT: &str = "/srv/app";

#[derive(Debug, Clone, Default)]
pub struct Stack {
    pub tree: BTreeMap<PathBuf, Vec<u8>>,
    pub request: Request,
}

impl Files for Stack {
    fn read(&self, path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
        let path = Path::new(ROOT).join(path);
        let bytes = self.tree.get(&path).ok_or(FileError::Missing)?;
        if bytes.len() > limit {
            return Err(FileError::TooLarge);
        }
        Ok(bytes.clone())
    }
}

/// Of one file, `stack.yml`.
pub fn stack(text: &str) -> Stack {
    let mut stack = Stack::default();
    stack.request.project_dir = ROOT.into();
    stack.layer("stack.yml", text)
}

impl Stack {
    /// One more file that is named by `-c`.
    pub fn layer(mut self, path: &str, text: &str) -> Self {
        self.request.files.push(path.into());
        self.file(path, text)
    }

    /// A file that is there.
    pub fn file(mut self, path: &str, text: impl AsRef<[u8]>) -> Self {
        let path = Path::new(ROOT).join(path);
        self.tree.insert(path, text.as_ref().to_vec());
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.request.environment.insert(name.into(), value.into());
        self
    }

    pub fn profile(mut self, name: &str) -> Self {
        self.request.profiles.insert(name.into());
        self
    }

    /// What is loaded; it loads again from what it is written as.
    #[track_caller]
    pub fn loaded(&self) -> Loaded {
        let loaded = match load(&self.request, self) {
            Ok(loaded) => loaded,
            Err(problems) => panic!("{problems}"),
        };
        let yaml = loaded.project.to_yaml();
        let mut again = self.clone();
        again.request.files.clear();
        let again = again.layer("again.yml", &yaml).profile("*");
        match load(&again.request, &again) {
            Ok(again) => assert_eq!(again.project, loaded.project, "{yaml}"),
            Err(problems) => panic!("{problems}\n{yaml}"),
        }
        loaded
    }

    #[track_caller]
    pub fn project(&self) -> Project {
        self.loaded().project
    }

    #[track_caller]
    pub fn service(&self, name: &str) -> Service {
        self.project().services.remove(name).unwrap()
    }

    #[track_caller]
    pub fn warnings(&self) -> String {
        let warnings = self.loaded().warnings;
        let lines: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    #[track_caller]
    pub fn errors(&self) -> String {
        load(&self.request, self).unwrap_err().to_string()
    }
}

/// One service `web` with these lines.
pub fn web(lines: &str) -> Stack {
    let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    stack(&format!("services:\n  web:\n    image: nginx\n{lines}"))
}
