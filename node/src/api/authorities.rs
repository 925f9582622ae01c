//! The swarm's CAs as Docker shows them.
//!
//! While the CA is on its way to be another one, the swarm shows the root that
//! counts until the end, and the issuer that certificates are to have; a node, what
//! it has of both. Docker's clients compare the two to see how far it is.

use services::object::{CaDigest, Node};

use super::backend::View;
use super::dto::TlsInfo;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authority {
    pub digest: CaDigest,
    pub info: TlsInfo,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authorities {
    pub present: Authority,
    pub next: Option<Authority>,
}

impl Authorities {
    /// What nodes are to have.
    fn wanted(&self) -> &Authority {
        self.next.as_ref().unwrap_or(&self.present)
    }

    pub fn of_swarm(&self) -> TlsInfo {
        TlsInfo {
            trust_root: self.present.info.trust_root.clone(),
            ..self.wanted().info.clone()
        }
    }

    /// As the node says; of one that was not heard, as far as it was agreed on.
    pub fn of_node(&self, node: &Node, view: View<'_>) -> TlsInfo {
        let (issuer, root) = match view.observed.trust.get(&node.id) {
            Some(trust) => (trust.issuer, trust.roots.first().copied()),
            None => {
                let rotation = view.state.rotation();
                let is_renewed = rotation.is_none_or(|it| it.renewed.contains(&node.id));
                let issuer = if is_renewed {
                    self.wanted()
                } else {
                    &self.present
                };
                (Some(issuer.digest), Some(self.present.digest))
            }
        };
        let find = |digest: Option<CaDigest>| {
            let all = [Some(&self.present), self.next.as_ref()];
            let found = all.into_iter().flatten();
            let found = found.filter(|it| Some(it.digest) == digest);
            found.map(|it| it.info.clone()).next().unwrap_or_default()
        };
        TlsInfo {
            trust_root: find(root).trust_root,
            ..find(issuer)
        }
    }
}
