//! `init`, `join`, `leave`, `join-token` and `info`.

use hyper::Method;
use services::managing::MANAGERS;
use services::spec::Role;

use super::Session;
use crate::api::dto::{
    CaConfig, Dispatcher, EncryptionConfig, FoundSwarm, Info, InitRequest, JoinRequest, Node,
    Orchestration, RaftConfig, Swarm, SwarmSpec,
};
use crate::cli::args::{Format, InfoArgs, InitArgs, JoinArgs, JoinTokenArgs, LeaveArgs};
use crate::cli::client::{Target, parse};
use crate::cli::error::CliError;
use crate::cli::{daemon, view};

impl Session<'_> {
    pub(super) async fn init(&mut self, args: &InitArgs) -> Result<(), CliError> {
        daemon::ensure(self, &args.start, args.addresses.listen_addr).await?;
        let target = Target::new(&["swarm", "init"]);
        let answer = self.client.post(&target, &init_request(args)).await?;
        let id: String = parse(&target, &answer)?;
        // The swarm is there, whatever becomes of these questions.
        let text = match self.how_to_join(&id, Role::Worker).await {
            Ok((token, addr)) => view::initialized(&id, &token, &addr),
            Err(_) => view::initialized_only(&id),
        };
        self.print(&text)?;
        match args.autolock {
            true => {
                self.print("\n")?;
                match self.show_unlock_key().await {
                    Ok(()) => Ok(()),
                    Err(_) => self.print(view::SEE_UNLOCK_KEY),
                }
            }
            false => Ok(()),
        }
    }

    /// The token of `role`, and where this manager is reached.
    async fn how_to_join(&self, id: &str, role: Role) -> Result<(String, String), CliError> {
        let swarm: Swarm = self.client.get(&Target::new(&["swarm"])).await?;
        let node: Node = self.client.get(&Target::new(&["nodes", id])).await?;
        let token = match role {
            Role::Worker => swarm.join_tokens.worker,
            Role::Manager => swarm.join_tokens.manager,
        };
        let addr = match node.manager_status {
            Some(status) => status.addr,
            None => node.status.addr,
        };
        Ok((token, addr))
    }

    pub(super) async fn join(&mut self, args: &JoinArgs) -> Result<(), CliError> {
        daemon::ensure(self, &args.start, args.addresses.listen_addr).await?;
        let request = JoinRequest {
            listen_addr: args.addresses.listen_addr.to_string(),
            advertise_addr: args.addresses.advertise_addr.clone().unwrap_or_default(),
            data_path_addr: args.data_path.data_path_addr.clone().unwrap_or_default(),
            remote_addrs: args.managers.clone(),
            join_token: args.token.clone(),
            availability: args.addresses.availability.as_str().into(),
        };
        let target = Target::new(&["swarm", "join"]);
        let answer = self.client.post(&target, &request).await?;
        if args.managers.is_empty() {
            let found: FoundSwarm = parse(&target, &answer)?;
            self.print(&view::found_swarm(&found.through))?;
        }
        let info: Info = self.client.get(&Target::new(&["info"])).await?;
        self.print(view::joined(info.swarm.control_available))
    }

    pub(super) async fn leave(&mut self, args: &LeaveArgs) -> Result<(), CliError> {
        let mut target = Target::new(&["swarm", "leave"]);
        if args.force {
            target = target.query("force", "1");
        }
        self.client.text(Method::POST, &target).await?;
        self.print("Node left the swarm.\n")
    }

    pub(super) async fn join_token(&mut self, args: &JoinTokenArgs) -> Result<(), CliError> {
        if args.rotate {
            self.rotate_token(args.role).await?;
            if !args.quiet {
                self.print(&view::rotated(args.role))?;
            }
        }
        let id = self.own_id().await?;
        let (token, addr) = self.how_to_join(&id, args.role).await?;
        match args.quiet {
            true => self.print(&format!("{token}\n")),
            false => self.print(&view::join_command(args.role, &token, &addr)),
        }
    }

    async fn rotate_token(&self, role: Role) -> Result<(), CliError> {
        let swarm: Swarm = self.client.get(&Target::new(&["swarm"])).await?;
        let is = |rotated| if role == rotated { "true" } else { "false" };
        let update = Target::new(&["swarm", "update"])
            .query("version", &swarm.cluster.version.index.to_string())
            .query("rotateWorkerToken", is(Role::Worker))
            .query("rotateManagerToken", is(Role::Manager))
            .query("rotateManagerUnlockKey", "false");
        self.client.post(&update, &swarm.cluster.spec).await?;
        Ok(())
    }

    pub(super) async fn info(&mut self, args: &InfoArgs) -> Result<(), CliError> {
        let target = Target::new(&["info"]);
        let text = self.client.text(Method::GET, &target).await?;
        let info: Info = parse(&target, &text)?;
        match args.format {
            Some(Format::Json) => self.print(&format!("{}\n", text.trim())),
            _ => self.print(&view::info(&info)),
        }
    }
}

fn init_request(args: &InitArgs) -> InitRequest {
    let managers = args
        .managers
        .map(|count| (MANAGERS.into(), count.to_string()));
    InitRequest {
        listen_addr: args.addresses.listen_addr.to_string(),
        advertise_addr: args.addresses.advertise_addr.clone().unwrap_or_default(),
        data_path_addr: args.data_path.data_path_addr.clone().unwrap_or_default(),
        availability: args.addresses.availability.as_str().into(),
        default_addr_pool: args
            .default_addr_pool
            .iter()
            .map(ToString::to_string)
            .collect(),
        subnet_size: args.default_addr_pool_mask_length.into(),
        data_path_port: args.data_path_port.into(),
        force_new_cluster: args.force_new_cluster,
        auto_lock_managers: args.autolock,
        spec: SwarmSpec {
            name: "default".into(),
            labels: managers.into_iter().collect(),
            orchestration: Orchestration {
                task_history_retention_limit: Some(args.task_history_limit),
            },
            raft: RaftConfig {
                snapshot_interval: 10_000,
                ..RaftConfig::default()
            },
            dispatcher: Dispatcher {
                heartbeat_period: 5_000_000_000,
            },
            ca_config: CaConfig {
                node_cert_expiry: args.cert_expiry.0,
                ..CaConfig::default()
            },
            encryption_config: EncryptionConfig {
                auto_lock_managers: args.autolock,
            },
            ..SwarmSpec::default()
        },
    }
}
