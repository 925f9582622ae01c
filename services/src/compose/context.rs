//! What all stages of a load share: the files, where texts come from, and what
//! was found wrong in them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use super::budget::Budget;
use super::files::{FileError, Files, MAX_FILE, MAX_FILES};
use super::node::Mark;
use super::problem::{Place, Problem, Problems};

/// What a user has to read at once.
const MAX_PROBLEMS: usize = 50;
/// What is kept, to be put in the order of the text.
const MAX_KEPT: usize = 1000;

pub(super) type Environment = BTreeMap<String, String>;

/// Where a piece of text comes from.
#[derive(Debug)]
pub(super) struct Source {
    /// As the user would name it.
    pub name: String,
    /// What relative paths in it are relative to.
    pub base: PathBuf,
    pub environment: Rc<Environment>,
}

impl Source {
    /// The path that a text in this source means.
    pub fn resolve(&self, path: &str) -> PathBuf {
        let home = || self.environment.get("HOME").filter(|home| !home.is_empty());
        let path = match path.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => match home() {
                Some(home) => format!("{home}{rest}"),
                None => path.to_owned(),
            },
            _ => path.to_owned(),
        };
        normal(&self.base.join(path))
    }
}

/// Without `.` and `..`, as far as that can be seen from the text.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => match normal.components().next_back() {
                Some(Component::Normal(_)) => {
                    normal.pop();
                }
                Some(Component::RootDir) => {}
                _ => normal.push(part),
            },
            _ => normal.push(part),
        }
    }
    normal
}

pub(super) struct Context<'a> {
    files: &'a dyn Files,
    /// Files in it are named from here.
    root: PathBuf,
    /// Otherwise variables stay as they are written.
    pub interpolates: bool,
    pub budget: Budget,
    reads: Cell<usize>,
    texts: RefCell<BTreeMap<PathBuf, Result<Rc<str>, FileError>>>,
    sources: RefCell<Vec<Rc<Source>>>,
    problems: RefCell<Vec<(Mark, Problem)>>,
    warnings: RefCell<Vec<(Mark, Problem)>>,
}

impl<'a> Context<'a> {
    pub fn new(files: &'a dyn Files, root: &Path, interpolates: bool) -> Self {
        Self {
            files,
            root: root.to_owned(),
            interpolates,
            budget: Budget::default(),
            reads: Cell::default(),
            texts: RefCell::default(),
            sources: RefCell::default(),
            problems: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// The text of a file, which is read once.
    pub fn read(&self, path: &Path) -> Result<Rc<str>, FileError> {
        if let Some(known) = self.texts.borrow().get(path) {
            return known.clone();
        }
        let text = self.read_file(path).map(Rc::from);
        let mut texts = self.texts.borrow_mut();
        texts.insert(path.to_owned(), text.clone());
        text
    }

    fn read_file(&self, path: &Path) -> Result<String, FileError> {
        self.reads.set(self.reads.get() + 1);
        if self.reads.get() > MAX_FILES {
            let text = format!("more than {MAX_FILES} files are read for one project");
            return Err(FileError::Unreadable(text));
        }
        let bytes = self.files.read(path, MAX_FILE)?;
        if bytes.len() > MAX_FILE {
            return Err(FileError::TooLarge);
        }
        if !self.budget.spend(bytes.len()) {
            return Err(FileError::Unreadable(Budget::SPENT.to_owned()));
        }
        let not_text = |_| FileError::Unreadable("it is not text in UTF-8".to_owned());
        String::from_utf8(bytes).map_err(not_text)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file as its user would name it.
    pub fn name(&self, path: &Path) -> String {
        let within = path.strip_prefix(&self.root).unwrap_or(path);
        within.display().to_string()
    }

    pub fn add_source(&self, source: Source) -> usize {
        let mut sources = self.sources.borrow_mut();
        sources.push(Rc::new(source));
        sources.len() - 1
    }

    pub fn source(&self, at: Mark) -> Rc<Source> {
        let sources = self.sources.borrow();
        let unknown = || {
            Rc::new(Source {
                name: String::new(),
                base: PathBuf::new(),
                environment: Rc::default(),
            })
        };
        sources.get(at.source).cloned().unwrap_or_else(unknown)
    }

    pub fn error(&self, at: Mark, path: &str, text: impl Into<String>) {
        self.note(&self.problems, at, path, text);
    }

    pub fn warn(&self, at: Mark, path: &str, text: impl Into<String>) {
        self.note(&self.warnings, at, path, text);
    }

    fn note(
        &self,
        notes: &RefCell<Vec<(Mark, Problem)>>,
        at: Mark,
        path: &str,
        text: impl Into<String>,
    ) {
        let mut notes = notes.borrow_mut();
        if notes.len() < MAX_KEPT {
            notes.push((at, self.problem(at, path, text.into())));
        }
    }

    pub fn is_clean(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    /// Whether one more problem would be shown.
    pub fn has_room(&self) -> bool {
        self.problems.borrow().len() < MAX_PROBLEMS
    }

    fn problem(&self, at: Mark, path: &str, text: String) -> Problem {
        Problem {
            place: Place {
                file: self.source(at).name.clone(),
                line: at.line,
                column: at.column,
            },
            path: path.to_owned(),
            text,
        }
    }

    /// The warnings, or what is wrong; both in the order of the text.
    pub fn finish(self) -> Result<Vec<Problem>, Problems> {
        let problems = sorted(self.problems.into_inner());
        match problems.is_empty() {
            true => Ok(sorted(self.warnings.into_inner())),
            false => Err(Problems(problems)),
        }
    }
}

fn sorted(mut problems: Vec<(Mark, Problem)>) -> Vec<Problem> {
    problems.sort_by_key(|(mark, _)| *mark);
    let mut problems: Vec<Problem> = problems.into_iter().map(|(_, problem)| problem).collect();
    // What an alias brings to several places is at one.
    problems.dedup_by(|one, other| one.place == other.place && one.text == other.text);
    let more = problems.len().saturating_sub(MAX_PROBLEMS);
    problems.truncate(MAX_PROBLEMS);
    if let (1.., Some(last)) = (more, problems.last_mut()) {
        last.text.push_str(&format!(" (and {more} more problems)"));
    }
    problems
}
