//! A cluster whose CA becomes another one: who accepts whom on the way, and what is on the disk.

use std::time::SystemTime;

use crate::common::{Cluster, HOUR};
use crate::handshake::{call, meet};
use certs::{
    Certificate, CertificateAuthority, Credentials, Error, Expect, Identity, NodeKey, Refusal,
    Role, RootCertificate, SERVER_NAME, pinned_client_config,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

/// A cluster on its way to another CA.
struct Rotation {
    cluster: Cluster,
    next: CertificateAuthority,
}

impl Rotation {
    fn new() -> Self {
        Self::to(CertificateAuthority::create(SystemTime::now()).unwrap())
    }

    fn to(next: CertificateAuthority) -> Self {
        let cluster = Cluster::new();
        let cross_signed = cluster.ca.cross_sign(next.root()).unwrap();
        let next = next.with_cross_signed(&cross_signed).unwrap();
        Self { cluster, next }
    }

    fn old(&self) -> RootCertificate {
        self.cluster.ca.root().clone()
    }

    fn new_root(&self) -> RootCertificate {
        self.next.root().clone()
    }

    fn renewed(&self, key: &NodeKey, role: Role) -> Certificate {
        let now = SystemTime::now();
        let csr = key.csr().unwrap();
        self.next
            .issue(&csr, role, &self.cluster.id, HOUR, now)
            .unwrap()
    }

    /// A member as it is at each step, with the name of the step.
    fn members(&self) -> [(&'static str, Credentials); 4] {
        let member = |trusts_both, is_renewed| {
            let member = self.cluster.member(Role::Manager);
            if trusts_both {
                member.trust(vec![self.old(), self.new_root()]).unwrap();
            }
            if is_renewed {
                let certificate = self.renewed(member.identity().key(), Role::Manager);
                member.install(certificate).unwrap();
            }
            member
        };
        [
            ("has heard of nothing", member(false, false)),
            ("trusts both", member(true, false)),
            ("is renewed", member(true, true)),
            ("has a new certificate only", member(false, true)),
        ]
    }
}

#[tokio::test]
async fn every_member_accepts_every_other_until_the_old_root_goes() {
    let rotation = Rotation::new();
    for (one, server) in rotation.members() {
        for (other, client) in rotation.members() {
            let meeting = call(&client, &server, Expect::manager()).await;
            assert!(
                meeting.client.is_ok(),
                "{one} is called by one that {other}"
            );
            assert!(
                meeting.server.is_ok(),
                "{one} is called by one that {other}"
            );
        }
    }
}

#[tokio::test]
async fn who_has_dropped_the_old_root_and_who_is_renewed_accept_each_other() {
    let rotation = Rotation::new();
    let [_, _, (_, renewed), _] = rotation.members();
    let dropped = rotation.cluster.member(Role::Manager);
    let certificate = rotation.renewed(dropped.identity().key(), Role::Manager);
    dropped
        .trust(vec![rotation.old(), rotation.new_root()])
        .unwrap();
    dropped.install(certificate).unwrap();
    dropped.trust(vec![rotation.new_root()]).unwrap();
    assert_eq!(dropped.identity().root(), &rotation.new_root());
    for (server, client) in [(&renewed, &dropped), (&dropped, &renewed)] {
        let meeting = call(client, server, Expect::manager()).await;
        assert!(meeting.client.is_ok() && meeting.server.is_ok());
    }

    let late = rotation.cluster.member(Role::Manager);
    call(&late, &dropped, Expect::member())
        .await
        .assert_refused(Refusal::Untrusted);
}

#[tokio::test]
async fn a_second_rotation_starts_while_the_first_is_under_way() {
    let first = Rotation::new();
    let second = CertificateAuthority::create(SystemTime::now()).unwrap();
    let cross_signed = first.cluster.ca.cross_sign(second.root()).unwrap();
    let second = second.with_cross_signed(&cross_signed).unwrap();
    let [_, _, (_, of_first), _] = first.members();
    of_first
        .trust(vec![first.old(), second.root().clone()])
        .unwrap();
    assert_eq!(of_first.identity().issuer(), None);

    let of_second = first.cluster.member(Role::Worker);
    let csr = of_second.identity().key().csr().unwrap();
    let now = SystemTime::now();
    let certificate = second.issue(&csr, Role::Worker, &first.cluster.id, HOUR, now);
    of_second.install(certificate.unwrap()).unwrap();
    let unaware = first.cluster.member(Role::Worker);
    for (server, client) in [
        (&of_first, &of_second),
        (&of_second, &of_first),
        (&of_first, &unaware),
        (&of_second, &unaware),
    ] {
        let meeting = call(client, server, Expect::member()).await;
        assert!(meeting.client.is_ok() && meeting.server.is_ok());
    }
}

#[tokio::test]
async fn a_token_of_the_old_root_is_good_until_the_end() {
    let rotation = Rotation::new();
    let [_, _, (_, manager), _] = rotation.members();
    for root in [rotation.old(), rotation.new_root()] {
        let client = pinned_client_config(root.digest(), &[b"swarmlet-test"]).unwrap();
        let meeting = meet(&manager, client).await;
        assert!(meeting.client.is_ok(), "{}", SERVER_NAME);
    }
    manager.trust(vec![rotation.new_root()]).unwrap();
    let client = pinned_client_config(rotation.old().digest(), &[b"swarmlet-test"]).unwrap();
    meet(&manager, client)
        .await
        .assert_refused(Refusal::Untrusted);
}

#[test]
fn a_certificate_by_mail_brings_its_intermediate() {
    let rotation = Rotation::new();
    let unaware = rotation.cluster.member(Role::Worker);
    let key = NodeKey::generate().unwrap();
    let certificate = rotation.renewed(&key, Role::Worker);
    let now = SystemTime::now();
    let admitted = unaware.check_member(&certificate.to_der(), now).unwrap();
    assert_eq!(admitted.node_id(), key.node_id());
    let alone = unaware.check_member(certificate.der(), now).unwrap_err();
    assert_eq!(alone, Refusal::Untrusted);
    assert_eq!(
        Certificate::from_pem(&certificate.to_pem()).unwrap(),
        certificate
    );
}

#[test]
fn an_identity_says_who_issued_its_certificate() {
    let rotation = Rotation::new();
    let [(_, unaware), (_, trusting), (_, renewed), (_, led)] = rotation.members();
    let issuer = |of: &Credentials| of.identity().issuer().cloned();
    assert_eq!(issuer(&unaware), Some(rotation.old()));
    assert_eq!(issuer(&trusting), Some(rotation.old()));
    assert_eq!(issuer(&renewed), Some(rotation.new_root()));
    assert_eq!(issuer(&led), None);
}

#[test]
fn nobody_drops_the_root_that_its_own_certificate_needs() {
    let rotation = Rotation::new();
    let [_, (_, trusting), ..] = rotation.members();
    let dropped = trusting.trust(vec![rotation.new_root()]);
    assert!(matches!(dropped, Err(Error::Refused(Refusal::Untrusted))));
    assert_eq!(trusting.identity().roots().len(), 2);
    assert!(trusting.trust(Vec::new()).is_err());
}

#[test]
fn a_signature_of_either_root_counts_and_both_are_told_apart() {
    let rotation = Rotation::new();
    let old = rotation.cluster.ca.sign(b"ticket").unwrap();
    let new = rotation.next.sign(b"ticket").unwrap();
    let both = [old.clone(), new.clone()].concat();
    let [(_, unaware), (_, trusting), ..] = rotation.members();
    let count = |of: &Credentials, signatures: &[u8]| of.roots_verifying(b"ticket", signatures);
    assert_eq!((count(&unaware, &old), count(&unaware, &new)), (1, 0));
    assert_eq!((count(&unaware, &both), count(&trusting, &both)), (1, 2));
    assert_eq!((count(&trusting, &old), count(&trusting, &new)), (1, 1));
    assert!(unaware.root_verifies(b"ticket", &both));
    assert!(!unaware.root_verifies(b"other", &both));
    assert!(!unaware.root_verifies(b"ticket", b"no signature"));
    assert!(!unaware.root_verifies(b"ticket", &[]));
}

#[test]
fn every_step_is_on_the_disk_as_it_was_taken() {
    let rotation = Rotation::new();
    let directory = tempfile::tempdir().unwrap();
    let load = || Identity::load(directory.path(), None).unwrap().unwrap();
    let member = rotation.cluster.member(Role::Worker);
    member.identity().save(directory.path(), None).unwrap();
    let roots = vec![rotation.old(), rotation.new_root()];
    member
        .trust(roots.clone())
        .unwrap()
        .save_certificate(directory.path())
        .unwrap();
    assert_eq!(load().roots(), roots);
    let certificate = rotation.renewed(member.identity().key(), Role::Worker);
    let renewed = member.install(certificate.clone()).unwrap();
    renewed.save_certificate(directory.path()).unwrap();
    assert_eq!(load().certificate(), &certificate);
    let roots = vec![rotation.new_root()];
    member
        .trust(roots.clone())
        .unwrap()
        .save_certificate(directory.path())
        .unwrap();
    assert_eq!(load().roots(), roots);
    assert_eq!(load().issuer(), Some(&rotation.new_root()));
}

#[test]
fn two_steps_at_once_are_saved_too() {
    let rotation = Rotation::new();
    let directory = tempfile::tempdir().unwrap();
    let member = rotation.cluster.member(Role::Worker);
    member.identity().save(directory.path(), None).unwrap();
    let certificate = rotation.renewed(member.identity().key(), Role::Worker);
    member.install(certificate.clone()).unwrap();
    let last = member.trust(vec![rotation.new_root()]).unwrap();
    last.save_certificate(directory.path()).unwrap();
    let loaded = Identity::load(directory.path(), None).unwrap().unwrap();
    assert_eq!(loaded.roots(), [rotation.new_root()]);
    assert_eq!(loaded.certificate(), &certificate);
}

#[test]
fn a_ca_of_the_users_own_is_cross_signed_with_its_own_name() {
    let (certificate, key) = made(|params| {
        params.distinguished_name.push(DnType::CountryName, "CH");
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Ours & Co");
    });
    let own = CertificateAuthority::from_pem(&certificate, &key).unwrap();
    let rotation = Rotation::to(own);
    let unaware = rotation.cluster.member(Role::Worker);
    let certificate = rotation.renewed(unaware.identity().key(), Role::Worker);
    unaware.install(certificate.clone()).unwrap();
    unaware.trust(vec![rotation.new_root()]).unwrap();
    assert_eq!(unaware.identity().issuer(), Some(&rotation.new_root()));
}

fn made(edit: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Ours");
    edit(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[test]
fn a_ca_that_nodes_could_not_live_by_is_refused() {
    let now = SystemTime::now();
    let refusal = |certificate: &str, key: &str| {
        let given = CertificateAuthority::given(certificate, key, now);
        given.unwrap_err().to_string()
    };
    let (good, key) = made(|_| {});
    assert!(CertificateAuthority::given(&good, &key, now).is_ok());
    let (other, other_key) = made(|_| {});
    assert!(refusal(&good, &other_key).contains("not the key of the CA's certificate"));
    assert!(refusal(&(good.clone() + &other), &key).contains("there must be one"));
    assert!(refusal("nonsense", &key).contains("the PEM block is missing"));
    assert!(refusal(&good, "nonsense").contains("the PEM block is missing"));
    let (leaf, key) = made(|params| params.is_ca = IsCa::NoCa);
    assert!(refusal(&leaf, &key).contains("it is not a CA"));
    let (soon, key) = made(|params| params.not_after = (now + HOUR).into());
    assert!(refusal(&soon, &key).contains("expires too soon"));
    let (usage, key) = made(|params| {
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    });
    assert!(refusal(&usage, &key).contains("may not sign certificates"));

    let cluster = Cluster::new();
    let crossed = cluster.ca.cross_sign(Cluster::new().ca.root()).unwrap();
    assert!(refusal(&crossed, &key).contains("it is no root"));
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&ed25519).unwrap();
    let refused = refusal(&certificate.pem(), &ed25519.serialize_pem());
    assert!(refused.contains("must be ECDSA P-256"), "{refused}");
}

/// What `openssl ecparam -name prime256v1 -genkey -noout` and
/// `openssl req -x509 -new -sha256 -days 36500 -subj /CN=own` write.
#[test]
fn what_openssl_writes_is_taken() {
    let (certificate, key) = (include_str!("own-ca.crt"), include_str!("own-ca.key"));
    assert!(key.starts_with("-----BEGIN EC PRIVATE KEY-----"));
    let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_900_000_000);
    let own = CertificateAuthority::given(certificate, key, now).unwrap();
    let again = CertificateAuthority::from_pem(&own.cert_pem(), &own.key_pem()).unwrap();
    assert_eq!(again.root(), own.root());
}

#[test]
fn a_ca_takes_no_certificate_of_another_along() {
    let (one, other) = (Cluster::new(), Cluster::new());
    let stray = one.ca.cross_sign(other.ca.root()).unwrap();
    assert!(matches!(
        one.ca.with_cross_signed(&stray),
        Err(Error::InvalidCertificate(_))
    ));
}
