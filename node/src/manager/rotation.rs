//! What the swarm's CA is to become: decided once, by the leader, and agreed on. As
//! swarmkit's `manager/controlapi/ca_rotation.go`, whose words the refusals are in.

use std::collections::BTreeSet;
use std::time::SystemTime;

use certs::{CertificateAuthority, JoinToken};
use services::Timestamp;
use services::object::{ClusterCa, JoinTokens, RootRotation};

use super::Manager;
use crate::api::backend::NewRoot;
use crate::clock;

impl Manager {
    /// How the CA gets from what it is to what it is to be; `None` where it is that.
    ///
    /// # Errors
    /// Why nodes could not live by it.
    pub fn rotation(&self, to: &NewRoot) -> Result<Option<RootRotation>, String> {
        let cluster = self.cluster()?;
        let under_way = self.read_state(|state| state.rotation().cloned());
        let (now, date) = (SystemTime::now(), clock::now());
        rotation(&cluster.ca, under_way.as_deref(), to, now, date)
    }
}

fn rotation(
    present: &ClusterCa,
    under_way: Option<&RootRotation>,
    to: &NewRoot,
    now: SystemTime,
    begun: Timestamp,
) -> Result<Option<RootRotation>, String> {
    let text = |error: certs::Error| error.to_string();
    let next = match to {
        NewRoot::Made => CertificateAuthority::create(now).map_err(text)?,
        NewRoot::Given { certificate, key } => {
            CertificateAuthority::given(certificate, key.pem(), now)
                .map_err(|error| format!("the desired CA: {error}"))?
        }
    };
    let present = CertificateAuthority::from_pem(&present.certificate, &present.key);
    let present = present.map_err(text)?;
    if next.root() == present.root() {
        return Ok(None);
    }
    if next.root().public_key_der() == present.root().public_key_der() {
        return Err("Cannot update to a cert with an identical key".into());
    }
    let digest = next.root().digest();
    if let Some(same) = under_way.filter(|it| it.digest == digest) {
        return Ok(Some(same.clone()));
    }
    let token = || JoinToken::generate(digest).map(|token| token.to_string());
    Ok(Some(RootRotation {
        next: ClusterCa {
            certificate: next.cert_pem(),
            key: next.key_pem().to_string(),
        },
        digest,
        cross_signed: present.cross_sign(next.root()).map_err(text)?,
        join_tokens: JoinTokens {
            worker: token().map_err(text)?,
            manager: token().map_err(text)?,
        },
        begun,
        renewed: BTreeSet::new(),
    }))
}

#[cfg(test)]
mod tests {
    use certs::{ClusterId, Identity, NodeKey, Role};

    use super::*;
    use crate::api::dto::SigningKey;

    fn ca() -> ClusterCa {
        let made = CertificateAuthority::create(SystemTime::now()).unwrap();
        ClusterCa {
            certificate: made.cert_pem(),
            key: made.key_pem().to_string(),
        }
    }

    fn given(ca: &ClusterCa) -> NewRoot {
        NewRoot::Given {
            certificate: ca.certificate.clone(),
            key: SigningKey::new(ca.key.clone()),
        }
    }

    fn decide(
        present: &ClusterCa,
        under_way: Option<&RootRotation>,
        to: &NewRoot,
    ) -> Result<Option<RootRotation>, String> {
        rotation(present, under_way, to, SystemTime::now(), Timestamp(1))
    }

    #[test]
    fn what_the_next_ca_issues_leads_to_the_present_one() {
        let present = ca();
        let rotation = decide(&present, None, &NewRoot::Made).unwrap().unwrap();
        let old = CertificateAuthority::from_pem(&present.certificate, &present.key).unwrap();
        let next = CertificateAuthority::from_pem(&rotation.next.certificate, &rotation.next.key)
            .and_then(|next| next.with_cross_signed(&rotation.cross_signed))
            .unwrap();
        let key = NodeKey::generate().unwrap();
        let cluster = ClusterId::generate().unwrap();
        let hour = std::time::Duration::from_secs(3600);
        let csr = key.csr().unwrap();
        let leaf = next.issue(&csr, Role::Worker, &cluster, hour, SystemTime::now());
        Identity::new(key, leaf.unwrap(), old.root().clone()).unwrap();
        for token in [&rotation.join_tokens.worker, &rotation.join_tokens.manager] {
            let token: JoinToken = token.parse().unwrap();
            assert_eq!(token.ca_digest(), rotation.digest);
        }
    }

    #[test]
    fn a_given_ca_is_taken_as_it_is_and_asked_for_again_changes_nothing() {
        let (present, own) = (ca(), ca());
        let first = decide(&present, None, &given(&own)).unwrap().unwrap();
        assert_eq!(first.next.certificate, own.certificate);
        let again = decide(&present, Some(&first), &given(&own)).unwrap();
        assert_eq!(again, Some(first.clone()));
        let other = decide(&present, Some(&first), &NewRoot::Made)
            .unwrap()
            .unwrap();
        assert_ne!(other.digest, first.digest);
    }

    #[test]
    fn the_present_ca_ends_whatever_is_under_way() {
        let present = ca();
        let under_way = decide(&present, None, &NewRoot::Made).unwrap();
        let back = decide(&present, under_way.as_ref(), &given(&present));
        assert_eq!(back, Ok(None));
    }

    #[test]
    fn a_key_of_another_ca_is_refused_without_a_word_of_it() {
        let (present, own) = (ca(), ca());
        let mixed = ClusterCa {
            certificate: own.certificate,
            key: ca().key,
        };
        let refusal = decide(&present, None, &given(&mixed)).unwrap_err();
        insta::assert_snapshot!(refusal, @"the desired CA: not a usable private key: it is not the key of the CA's certificate");
    }
}
