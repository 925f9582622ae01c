//! `node …`.

use services::spec::Role;

use super::{MAX_TRIES, Session, filters, outdated, pairs, with_filters};
use crate::api::dto::{Info, Node, NodeSpec, Task};
use crate::cli::args::{ListFlags, NodeCommand, NodePsArgs, NodeRmArgs, NodeUpdateArgs};
use crate::cli::client::Target;
use crate::cli::error::CliError;
use crate::cli::values::Invalid;
use crate::cli::view;

impl Session<'_> {
    pub(super) async fn node(&mut self, command: NodeCommand) -> Result<(), CliError> {
        match command {
            NodeCommand::Ls(args) => self.node_ls(&args).await,
            NodeCommand::Inspect(args) => self.node_inspect(&args).await,
            NodeCommand::Ps(args) => self.node_ps(&args).await,
            NodeCommand::Update(args) => self.node_update(&args).await,
            NodeCommand::Promote(args) => self.set_roles(&args.nodes, Role::Manager).await,
            NodeCommand::Demote(args) => self.set_roles(&args.nodes, Role::Worker).await,
            NodeCommand::Rm(args) => self.node_rm(&args).await,
        }
    }

    async fn node_ls(&mut self, flags: &ListFlags) -> Result<(), CliError> {
        let target = with_filters(Target::new(&["nodes"]), &flags.filter);
        let nodes: Vec<Node> = self.client.get(&target).await?;
        let info: Info = self.client.get(&Target::new(&["info"])).await?;
        let rows = view::node_rows(&nodes, &info.swarm);
        self.print_list(&rows, |row| &row.id, view::node_table, flags)
    }

    async fn node_ps(&mut self, args: &NodePsArgs) -> Result<(), CliError> {
        let mut errors = Vec::new();
        let mut tasks: Vec<Task> = Vec::new();
        for name in &args.nodes {
            let found = async {
                let id = self.node_ref(name).await?;
                let node: Node = self.client.get(&Target::new(&["nodes", &id])).await?;
                let given = pairs(&args.tasks.list.filter).chain([("node", node.id.as_str())]);
                let target = Target::new(&["tasks"]).query("filters", &filters(given));
                self.client.get::<Vec<Task>>(&target).await
            };
            match found.await {
                Ok(found) => tasks.extend(found),
                Err(error) => errors.push(error),
            }
        }
        if errors.len() < args.nodes.len() {
            self.print_tasks(&tasks, &args.tasks).await?;
        }
        CliError::all(errors)
    }

    async fn node_update(&mut self, args: &NodeUpdateArgs) -> Result<(), CliError> {
        let id = self.node_ref(&args.node).await?;
        self.change_node(&id, |spec| changed(args, spec).map(Some))
            .await?;
        self.print(&format!("{}\n", args.node))
    }

    async fn set_roles(&mut self, nodes: &[String], role: Role) -> Result<(), CliError> {
        let mut errors = Vec::new();
        for name in nodes {
            let set = async {
                let id = self.node_ref(name).await?;
                self.change_node(&id, |spec| {
                    Ok((spec.role != role.as_str()).then(|| NodeSpec {
                        role: role.as_str().into(),
                        ..spec
                    }))
                })
                .await
            };
            match set.await {
                Ok(changed) => self.print(&match role {
                    Role::Manager => view::promoted(name, !changed),
                    Role::Worker => view::demoted(name, !changed),
                })?,
                Err(error) => errors.push(error),
            }
        }
        CliError::all(errors)
    }

    /// Sends what `change` makes of the node's spec, `None` being nothing;
    /// whether there was something to send.
    async fn change_node(
        &self,
        id: &str,
        change: impl Fn(NodeSpec) -> Result<Option<NodeSpec>, Invalid>,
    ) -> Result<bool, CliError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let node: Node = self.client.get(&Target::new(&["nodes", id])).await?;
            let Some(spec) = change(node.spec)? else {
                return Ok(false);
            };
            let target = Target::new(&["nodes", &node.id, "update"])
                .query("version", &node.version.index.to_string());
            match self.client.post(&target, &spec).await {
                Ok(_) => return Ok(true),
                Err(error) if outdated(&error) && tries < MAX_TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn node_rm(&mut self, args: &NodeRmArgs) -> Result<(), CliError> {
        let mut errors = Vec::new();
        for node in &args.nodes {
            let mut target = Target::new(&["nodes", node]);
            if args.force {
                target = target.query("force", "1");
            }
            match self.client.delete(&target).await {
                Ok(()) => self.print(&format!("{node}\n"))?,
                Err(error) => errors.push(error),
            }
        }
        CliError::all(errors)
    }
}

fn changed(args: &NodeUpdateArgs, mut spec: NodeSpec) -> Result<NodeSpec, Invalid> {
    if let Some(role) = args.role {
        spec.role = role.as_str().into();
    }
    if let Some(availability) = args.availability {
        spec.availability = availability.as_str().into();
    }
    for pair in &args.label_add {
        spec.labels.insert(pair.key.clone(), pair.value.clone());
    }
    for key in &args.label_rm {
        if spec.labels.remove(key).is_none() {
            return Err(Invalid::new(format!(
                "key {key} doesn't exist in node's labels"
            )));
        }
    }
    Ok(spec)
}
