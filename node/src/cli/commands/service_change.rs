//! `service create`, `update`, `scale` and `rollback`: each sends a spec, and
//! waits until the service does what it says.

use std::path::Path;

use hyper::header::HeaderValue;
use services::file::FileKind;

use super::{MAX_TRIES, Session, outdated};
use crate::api::dto::{
    NetworkResource, Service, ServiceCreateResponse, ServiceSpec, ServiceUpdateResponse,
};
use crate::cli::args::{CreateArgs, RollbackArgs, ScaleArgs, UpdateArgs, WaitFlags};
use crate::cli::client::{Target, parse};
use crate::cli::docker::{self, Credentials, Directory};
use crate::cli::error::CliError;
use crate::cli::values::Invalid;
use crate::cli::{progress, spec};

impl Session<'_> {
    pub(super) async fn service_create(&mut self, args: &CreateArgs) -> Result<(), CliError> {
        let mut env_files = Vec::new();
        for path in &args.env_file {
            env_files.push(read(path)?);
        }
        let profiles = profiles(&args.security_opt)?;
        let known = spec::Known {
            // The daemon looks up the names of networks.
            networks: spec::Ids::default(),
            secrets: self.files_of(FileKind::Secret, &args.secret).await?,
            configs: self.files_of(FileKind::Config, &args.config).await?,
            profiles,
        };
        let spec = spec::create(args, &env_files, &variable, &known)?;
        let target = Target::new(&["services", "create"]);
        let auth = self.registry_auth(args.with_registry_auth, &spec)?;
        let answer = self.client.post_with(&target, &spec, auth).await?;
        let created: ServiceCreateResponse = parse(&target, &answer)?;
        self.warn(&created.warnings)?;
        self.print(&format!("{}\n", created.id))?;
        self.wait(&created.id, &args.wait).await
    }

    pub(super) async fn service_update(&mut self, args: &UpdateArgs) -> Result<(), CliError> {
        let id = if args.rollback {
            spec::only_rolls_back(args)?;
            self.roll_back(&args.service).await?
        } else {
            let changes = &args.lists;
            let known = spec::Known {
                networks: self.networks_of(args).await?,
                secrets: self.files_of(FileKind::Secret, &changes.secret_add).await?,
                configs: self.files_of(FileKind::Config, &changes.config_add).await?,
                profiles: profiles(&changes.security_opt_add)?,
            };
            self.change(&args.service, args.with_registry_auth, |spec| {
                spec::update(args, spec, &variable, &known)
            })
            .await?
        };
        self.print(&format!("{}\n", args.service))?;
        self.wait(&id, &args.wait).await
    }

    /// A spec names networks by their ids.
    async fn networks_of(&self, args: &UpdateArgs) -> Result<spec::Ids, CliError> {
        let mut ids = spec::Ids::default();
        let added = args.lists.network_add.iter().map(|it| &it.network);
        for name in added.chain(&args.lists.network_rm) {
            let target = Target::new(&["networks", name]).query("scope", "swarm");
            match self.client.get::<NetworkResource>(&target).await {
                Ok(found) => {
                    ids.0.insert(name.clone(), found.id.clone());
                    ids.0.insert(found.name, found.id);
                }
                // What is no more can still be taken out of a spec.
                Err(error) if error.is_not_found() && args.lists.network_rm.contains(name) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ids)
    }

    pub(super) async fn service_rollback(&mut self, args: &RollbackArgs) -> Result<(), CliError> {
        let id = self.roll_back(&args.service).await?;
        self.print(&format!("{}\n", args.service))?;
        self.wait(&id, &args.wait).await
    }

    pub(super) async fn service_scale(&mut self, args: &ScaleArgs) -> Result<(), CliError> {
        let mut errors = Vec::new();
        let mut scaled = Vec::new();
        for scaling in &args.scalings {
            let (service, replicas) = (&scaling.service, scaling.replicas);
            match self
                .change(service, false, |spec| spec::scale(spec, replicas))
                .await
            {
                Ok(id) => {
                    self.print(&format!("{service} scaled to {replicas}\n"))?;
                    scaled.push(id);
                }
                Err(error) => errors.push(error),
            }
        }
        let flags = WaitFlags {
            detach: args.detach,
            quiet: false,
        };
        for id in &scaled {
            if let Err(error) = self.wait(id, &flags).await {
                errors.push(error);
            }
        }
        CliError::all(errors)
    }

    async fn wait(&mut self, id: &str, flags: &WaitFlags) -> Result<(), CliError> {
        if flags.detach {
            return Ok(());
        }
        let drawing = self.drawing(flags.quiet);
        progress::wait(&self.client, id, drawing, self.out).await
    }

    /// What the user may show to the registry that the image comes from, where
    /// it is to be shown.
    pub(in crate::cli::commands) fn registry_auth(
        &mut self,
        wanted: bool,
        spec: &ServiceSpec,
    ) -> Result<Option<HeaderValue>, CliError> {
        if !wanted {
            return Ok(None);
        }
        let container = spec.task_template.container_spec.as_ref();
        let image = container.map_or("", |container| &container.image);
        let credentials = Credentials::of(&Directory::of_user()?)?;
        let auth = credentials.for_image(image)?;
        if auth.is_none() {
            let text = format!(
                "You are not logged in to the registry of {image}: the nodes pull it without \
                 credentials. See docker login."
            );
            self.warn(&[text])?;
        }
        auth.as_ref().map(docker::header).transpose()
    }

    /// Sends what `change` makes of the service's spec; the service's id.
    async fn change(
        &mut self,
        service: &str,
        with_registry_auth: bool,
        change: impl Fn(ServiceSpec) -> Result<ServiceSpec, Invalid>,
    ) -> Result<String, CliError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let current = self.current(service).await?;
            let spec = change(current.spec.clone())?;
            let target = update_target(&current).query("registryAuthFrom", "spec");
            let auth = self.registry_auth(with_registry_auth, &spec)?;
            match self.send_update(&target, &spec, auth).await {
                Ok(()) => return Ok(current.id),
                Err(error) if outdated(&error) && tries < MAX_TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn roll_back(&mut self, service: &str) -> Result<String, CliError> {
        let current = self.current(service).await?;
        let target = update_target(&current).query("rollback", "previous");
        self.send_update(&target, &current.spec, None).await?;
        Ok(current.id)
    }

    async fn current(&self, service: &str) -> Result<Service, CliError> {
        self.client.get(&Target::new(&["services", service])).await
    }

    async fn send_update(
        &mut self,
        target: &Target,
        spec: &ServiceSpec,
        auth: Option<HeaderValue>,
    ) -> Result<(), CliError> {
        let answer = self.client.post_with(target, spec, auth).await?;
        let updated: ServiceUpdateResponse = parse(target, &answer)?;
        self.warn(&updated.warnings.unwrap_or_default())
    }
}

fn update_target(service: &Service) -> Target {
    Target::new(&["services", &service.id, "update"])
        .query("version", &service.version.index.to_string())
}

/// The seccomp profiles that options name by their paths.
fn profiles(options: &[String]) -> Result<spec::Profiles, CliError> {
    let paths = options
        .iter()
        .filter_map(|option| spec::seccomp_path(option));
    paths
        .map(|path| {
            let text = read(Path::new(path))?;
            let profile: serde_json::Value = serde_json::from_str(&text).map_err(|error| {
                Invalid::new(format!(
                    "compacting json for seccomp profile ({path}) failed: {error}"
                ))
            })?;
            Ok((path.to_owned(), profile.to_string()))
        })
        .collect()
}

fn read(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|source| CliError::File {
        path: path.display().to_string(),
        source,
    })
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
