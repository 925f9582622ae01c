//! `ca`: the swarm's CA, and another one in its place.

use std::path::Path;

use super::{Session, outdated};
use crate::api::dto::{Node, SigningKey, Swarm, SwarmSpec};
use crate::cli::args::CaArgs;
use crate::cli::client::Target;
use crate::cli::error::CliError;
use crate::cli::progress::{patiently, unless_interrupted};
use crate::cli::view;

const IN_BACKGROUND: &str = "Operation continuing in background.\n\
                             Use `swarmlet ca` or `swarmlet node ls` to check progress.\n";

impl Session<'_> {
    pub(super) async fn ca(&mut self, args: &CaArgs) -> Result<(), CliError> {
        if args.rotate {
            self.rotate_ca(args).await?;
            if args.detach {
                return Ok(());
            }
            self.until_rotated(args.quiet).await?;
        }
        let (swarm, nodes) = self.swarm_and_nodes().await?;
        if !args.quiet {
            let root = swarm.cluster.tls_info.trust_root.trim_end();
            self.print(&format!("{root}\n"))?;
        }
        self.warn(&view::waits_for(&swarm.cluster, &nodes))
    }

    async fn rotate_ca(&self, args: &CaArgs) -> Result<(), CliError> {
        let certificate = args.ca_cert.as_deref().map(read).transpose()?;
        let key = args.ca_key.as_deref().map(read).transpose()?;
        let key = key.map(SigningKey::new).unwrap_or_default();
        let certificate = certificate.unwrap_or_default();
        let swarm: Swarm = self.client.get(&Target::new(&["swarm"])).await?;
        let version = swarm.cluster.version.index.to_string();
        let mut spec: SwarmSpec = swarm.cluster.spec;
        let ca = &mut spec.ca_config;
        if let Some(expiry) = args.cert_expiry {
            ca.node_cert_expiry = expiry.0;
        }
        if certificate.is_empty() {
            ca.force_rotate += 1;
        }
        (ca.signing_ca_cert, ca.signing_ca_key) = (certificate, key);
        let update = Target::new(&["swarm", "update"]).query("version", &version);
        match self.client.post(&update, &spec).await {
            // Twice would be two rotations: only who saw the first one knows.
            Err(error) if outdated(&error) => Err(CliError::Daemon {
                status: 409,
                message: "the swarm was changed at the same time; nothing was rotated, try again"
                    .into(),
            }),
            answer => answer.map(drop),
        }
    }

    /// Shows who has a certificate of the new CA, until the old one is gone.
    async fn until_rotated(&mut self, quiet: bool) -> Result<(), CliError> {
        let mut drawing = self.drawing(quiet);
        let (client, out) = (&self.client, &mut *self.out);
        let rotated = patiently(async || {
            let (swarm, nodes) = (Target::new(&["swarm"]), Target::new(&["nodes"]));
            let (swarm, nodes): (Swarm, Vec<Node>) =
                tokio::try_join!(client.get(&swarm), client.get(&nodes))?;
            let (lines, is_done) = view::rotation(&swarm.cluster, &nodes);
            drawing.show(&lines, out)?;
            Ok(is_done.then_some(()))
        });
        let ended = unless_interrupted(rotated).await;
        drawing.finish();
        match ended {
            Some(ended) => ended,
            None => self.print(IN_BACKGROUND),
        }
    }

    async fn swarm_and_nodes(&self) -> Result<(Swarm, Vec<Node>), CliError> {
        let (swarm, nodes) = (Target::new(&["swarm"]), Target::new(&["nodes"]));
        tokio::try_join!(self.client.get(&swarm), self.client.get(&nodes))
    }
}

fn read(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|source| CliError::File {
        path: path.display().to_string(),
        source,
    })
}
