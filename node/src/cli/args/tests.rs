use clap::{CommandFactory, Parser};

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("swarmlet").chain(line.split_whitespace()))
}

fn client(line: &str) -> ClientCommand {
    match parse(line)
        .unwrap_or_else(|error| panic!("{error}"))
        .command
    {
        Command::Client(command) => command,
        Command::Daemon(_) => panic!("{line} is the daemon"),
    }
}

fn create(line: &str) -> CreateArgs {
    match client(&format!("service create {line}")) {
        ClientCommand::Service(ServiceCommand::Create(args)) => *args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_commands_do_not_contradict_themselves() {
    Cli::command().debug_assert();
}

#[test]
fn what_a_command_is_about_stands_under_no_heading_of_options() {
    fn check(command: &clap::Command) {
        for arg in command.get_positionals() {
            let (command, heading) = (command.get_name(), arg.get_help_heading());
            assert_eq!(heading, None, "{command} {}", arg.get_id());
        }
        command.get_subcommands().for_each(check);
    }
    check(&Cli::command());
}

#[test]
fn the_daemon_has_the_designs_defaults() {
    let Command::Daemon(args) = parse("daemon").unwrap().command else {
        panic!("not the daemon");
    };
    assert_eq!(args.start.data_dir, Path::new("/var/lib/swarmlet"));
    assert_eq!(args.run_dir, Path::new("/run/swarmlet"));
    assert_eq!(args.listen_addr.to_string(), "0.0.0.0:2377");
    assert_eq!(args.start.docker_host, "unix:///var/run/docker.sock");
}

#[test]
fn what_follows_the_image_is_the_containers() {
    let args = create("--name web -e A=1 busybox sh -c date --name x -e");
    assert_eq!(args.name.as_deref(), Some("web"));
    assert_eq!(args.env, ["A=1"]);
    assert_eq!(
        args.image_and_args,
        ["busybox", "sh", "-c", "date", "--name", "x", "-e"]
    );
}

#[test]
fn a_flag_of_what_is_not_there_is_refused() {
    let error = parse("service create --credential-spec file://x busybox").unwrap_err();
    assert_eq!(error.kind(), clap::error::ErrorKind::UnknownArgument);
}

#[test]
fn a_switch_may_be_given_its_value() {
    assert_eq!(create("busybox").flags.container.init, None);
    assert_eq!(create("--init busybox").flags.container.init, Some(true));
    assert_eq!(
        create("--init=false busybox").flags.container.init,
        Some(false)
    );
    assert!(create("--detach busybox").wait.detach);
    assert!(!create("--detach=false busybox").wait.detach);
    assert!(create("-dq busybox").wait.detach);
}

#[test]
fn a_go_template_is_refused_with_the_way_out() {
    let error = parse("node ls --format {{.ID}}").unwrap_err().to_string();
    assert!(
        error.contains("Go templates are not supported; use --format json"),
        "{error}"
    );
    let ClientCommand::Node(NodeCommand::Ls(args)) = client("node ls --format json") else {
        panic!("not node ls");
    };
    assert_eq!(args.format.format, Format::Json);
}

#[test]
fn the_host_is_a_unix_socket() {
    let cli = parse("-H unix:///tmp/s.sock info").unwrap();
    assert_eq!(cli.host.path(), Path::new("/tmp/s.sock"));
    assert_eq!(cli.host.to_string(), "unix:///tmp/s.sock");
    assert!(parse("-H tcp://127.0.0.1:2375 info").is_err());
    assert!(parse("-H unix:// info").is_err());
}

#[test]
fn tasks_of_this_node_are_shown_where_none_is_named() {
    let ClientCommand::Node(NodeCommand::Ps(args)) = client("node ps") else {
        panic!("not node ps");
    };
    assert_eq!(args.nodes, ["self"]);
}

#[test]
fn a_scaling_names_a_service_and_a_number() {
    let ClientCommand::Service(ServiceCommand::Scale(args)) = client("service scale web=3 db=0")
    else {
        panic!("not service scale");
    };
    let shown: Vec<_> = args
        .scalings
        .iter()
        .map(|s| (s.service.as_str(), s.replicas))
        .collect();
    assert_eq!(shown, [("web", 3), ("db", 0)]);
    for bad in ["web", "web=", "=3", "web=-1", "web=x"] {
        assert!(parse(&format!("service scale {bad}")).is_err(), "{bad}");
    }
}

#[test]
fn a_filter_has_a_key_and_a_value() {
    let ClientCommand::Node(NodeCommand::Ls(args)) =
        client("node ls --filter Role=manager -f node.label=a=b")
    else {
        panic!("not node ls");
    };
    let shown: Vec<_> = args
        .filter
        .iter()
        .map(|f| (f.key.as_str(), f.value.as_str()))
        .collect();
    assert_eq!(shown, [("role", "manager"), ("node.label", "a=b")]);
    assert!(parse("node ls --filter manager").is_err());
}
