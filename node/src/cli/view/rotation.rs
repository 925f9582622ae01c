//! How far the swarm is on its way to another CA.

use crate::api::dto::{ClusterInfo, Node, TlsInfo};
use crate::cli::progress::Line;

/// The lines of progress, and whether the rotation is over.
pub fn rotation(swarm: &ClusterInfo, nodes: &[Node]) -> (Vec<Line>, bool) {
    let wanted = &swarm.tls_info;
    let count = |is: &dyn Fn(&TlsInfo) -> bool| {
        let nodes = nodes.iter();
        nodes.filter(|node| is(&node.description.tls_info)).count()
    };
    let renewed = count(&|tls| has_issuer(tls, wanted));
    let trusting = match swarm.root_rotation_in_progress {
        true => 0,
        false => count(&|tls| tls.trust_root == wanted.trust_root),
    };
    let line = |id: &str, done: usize| Line {
        id: id.to_owned(),
        text: format!("{done}/{} nodes", nodes.len()),
        reached: Some(done),
        of: nodes.len(),
    };
    let mut lines = vec![
        line("rotated TLS certificates", renewed),
        line("rotated CA certificates", trusting),
    ];
    let down = missing(swarm, nodes).filter(|node| node.status.state == "down");
    lines.extend(down.map(|node| Line {
        id: node.description.hostname.clone(),
        text: "is down, and is waited for; `swarmlet node rm` goes on without it".into(),
        reached: None,
        of: 0,
    }));
    let all = nodes.len();
    let is_done = !swarm.root_rotation_in_progress && renewed == all && trusting == all;
    (lines, is_done)
}

/// Which nodes keep the CA from being another one.
pub fn waits_for(swarm: &ClusterInfo, nodes: &[Node]) -> Vec<String> {
    let missing = missing(swarm, nodes).map(|node| {
        let name = &node.description.hostname;
        format!("{name} ({}, {})", node.id, node.status.state)
    });
    let missing: Vec<String> = missing.collect();
    match swarm.root_rotation_in_progress && !missing.is_empty() {
        true => vec![format!(
            "The CA is being replaced, which waits for certificates of: {}",
            missing.join(", ")
        )],
        false => Vec::new(),
    }
}

fn missing<'a>(swarm: &'a ClusterInfo, nodes: &'a [Node]) -> impl Iterator<Item = &'a Node> {
    let is_missing = |node: &&Node| !has_issuer(&node.description.tls_info, &swarm.tls_info);
    nodes.iter().filter(is_missing)
}

fn has_issuer(node: &TlsInfo, wanted: &TlsInfo) -> bool {
    node.cert_issuer_public_key == wanted.cert_issuer_public_key
        && node.cert_issuer_subject == wanted.cert_issuer_subject
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::dto::{NodeDescription, NodeStatus};

    fn tls(root: &str, issuer: &str) -> TlsInfo {
        TlsInfo {
            trust_root: root.into(),
            cert_issuer_subject: "swarm-ca".into(),
            cert_issuer_public_key: issuer.into(),
        }
    }

    fn node(name: &str, state: &str, tls_info: TlsInfo) -> Node {
        Node {
            id: format!("id-{name}"),
            status: NodeStatus {
                state: state.into(),
                ..NodeStatus::default()
            },
            description: NodeDescription {
                hostname: name.into(),
                tls_info,
                ..NodeDescription::default()
            },
            ..Node::default()
        }
    }

    fn swarm(tls_info: TlsInfo, root_rotation_in_progress: bool) -> ClusterInfo {
        ClusterInfo {
            tls_info,
            root_rotation_in_progress,
            ..ClusterInfo::default()
        }
    }

    fn shown(swarm: &ClusterInfo, nodes: &[Node]) -> (String, bool) {
        let (lines, is_done) = rotation(swarm, nodes);
        let lines = lines
            .iter()
            .map(|line| format!("{}: {}\n", line.id, line.text));
        (lines.collect(), is_done)
    }

    #[test]
    fn a_node_that_is_off_is_named_and_waited_for() {
        let nodes = [
            node("h1", "ready", tls("old", "new")),
            node("h2", "down", tls("old", "old")),
        ];
        let swarm = swarm(tls("old", "new"), true);
        let (lines, is_done) = shown(&swarm, &nodes);
        assert!(!is_done);
        insta::assert_snapshot!(lines, @"
        rotated TLS certificates: 1/2 nodes
        rotated CA certificates: 0/2 nodes
        h2: is down, and is waited for; `swarmlet node rm` goes on without it
        ");
        insta::assert_snapshot!(waits_for(&swarm, &nodes).concat(), @"The CA is being replaced, which waits for certificates of: h2 (id-h2, down)");
    }

    #[test]
    fn it_is_over_when_every_node_has_dropped_the_old_root() {
        let swarm = swarm(tls("new", "new"), false);
        let mut nodes = [
            node("h1", "ready", tls("new", "new")),
            node("h2", "ready", tls("", "new")),
        ];
        assert!(!shown(&swarm, &nodes).1);
        nodes[1].description.tls_info.trust_root = "new".into();
        let (lines, is_done) = shown(&swarm, &nodes);
        assert!(is_done);
        insta::assert_snapshot!(lines, @"
        rotated TLS certificates: 2/2 nodes
        rotated CA certificates: 2/2 nodes
        ");
        assert_eq!(waits_for(&swarm, &nodes), Vec::<String>::new());
    }
}
