//! `node inspect` and `service inspect`.

use std::collections::BTreeMap;

use hyper::Method;
use serde::de::DeserializeOwned;
use services::spec::OwnNetwork;

use super::{Session, filters, now};
use crate::api::dto::{NetworkResource, Node, Service};
use crate::cli::args::{Format, InspectFlags, NodeInspectArgs, ServiceInspectArgs};
use crate::cli::client::{Target, parse};
use crate::cli::error::CliError;
use crate::cli::view;

impl Session<'_> {
    pub(super) async fn node_inspect(&mut self, args: &NodeInspectArgs) -> Result<(), CliError> {
        let mut found = Vec::new();
        for name in &args.nodes {
            let one = async {
                let id = self.node_ref(name).await?;
                self.object(Target::new(&["nodes", &id])).await
            };
            found.push(one.await);
        }
        self.show(&args.show, found, |node: &Node| view::node_page(node))
    }

    pub(super) async fn service_inspect(
        &mut self,
        args: &ServiceInspectArgs,
    ) -> Result<(), CliError> {
        let mut found = Vec::new();
        for name in &args.services {
            let target = Target::new(&["services", name]).query("insertDefaults", "true");
            found.push(self.object(target).await);
        }
        let networks = match args.show.pretty {
            true => self.network_names().await,
            false => BTreeMap::new(),
        };
        self.show(&args.show, found, |service: &Service| {
            view::service_page(service, now(), &networks)
        })
    }

    /// What the networks of the swarm are called, by id. Ids are shown where
    /// that is not known.
    async fn network_names(&self) -> BTreeMap<String, String> {
        let target = Target::new(&["networks"]).query("filters", &filters([("scope", "swarm")]));
        let networks: Vec<NetworkResource> = self.client.get(&target).await.unwrap_or_default();
        let own = OwnNetwork::ALL.map(|it| (it.id().to_string(), it.as_str().to_owned()));
        let networks = networks.into_iter().map(|it| (it.id, it.name));
        networks.chain(own).collect()
    }

    /// An object's JSON, as the daemon wrote it.
    pub(super) async fn object(&self, target: Target) -> Result<(Target, String), CliError> {
        let text = self.client.text(Method::GET, &target).await?;
        Ok((target, text))
    }

    /// Shows the objects that were found, then fails for those that were not.
    pub(super) fn show<T: DeserializeOwned>(
        &mut self,
        flags: &InspectFlags,
        found: Vec<Result<(Target, String), CliError>>,
        page: impl Fn(&T) -> String,
    ) -> Result<(), CliError> {
        let (found, errors): (Vec<_>, Vec<_>) = found.into_iter().partition(Result::is_ok);
        let found: Vec<(Target, String)> = found.into_iter().flatten().collect();
        let errors: Vec<CliError> = errors.into_iter().filter_map(Result::err).collect();
        let texts: Vec<&str> = found.iter().map(|(_, text)| text.trim()).collect();
        let shown = if flags.pretty {
            let mut pages = Vec::new();
            for (target, text) in &found {
                pages.push(page(&parse(target, text)?));
            }
            pages.join("\n")
        } else if flags.format == Some(Format::Json) {
            texts.iter().map(|text| format!("{text}\n")).collect()
        } else {
            format!("{}\n", view::indent(&format!("[{}]", texts.join(","))))
        };
        self.print(&shown)?;
        CliError::all(errors)
    }
}
