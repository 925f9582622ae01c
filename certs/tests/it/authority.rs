//! What the CA signs and what it does not, and that no decoder falls over.

use std::time::{Duration, SystemTime};

use crate::common::{Cluster, HOUR};
use certs::{
    BACKDATE, Certificate, CertificateAuthority, Error, NodeKey, Refusal, Role, RootCertificate,
    node_of_csr,
};
use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

fn whole_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

#[test]
fn a_certificate_says_what_the_cluster_decided() {
    let cluster = Cluster::new();
    let key = NodeKey::generate().unwrap();
    let now = SystemTime::now();
    let certificate = cluster.certificate_at(&key, Role::Manager, now);
    assert_eq!(certificate.node_id(), key.node_id());
    assert_eq!(certificate.role(), Role::Manager);
    assert_eq!(certificate.cluster_id(), cluster.id);
    assert_eq!(
        whole_seconds(certificate.not_before()),
        whole_seconds(now - BACKDATE)
    );
    assert_eq!(
        whole_seconds(certificate.not_after()),
        whole_seconds(now + HOUR)
    );
    assert_eq!(
        Certificate::from_pem(&certificate.to_pem()).unwrap(),
        certificate
    );
}

#[test]
fn a_request_gets_nothing_that_it_asks_for() {
    let cluster = Cluster::new();
    let key = NodeKey::generate().unwrap();
    let mut params = CertificateParams::new(["manager.example".to_owned()]).unwrap();
    params
        .distinguished_name
        .push(DnType::OrganizationalUnitName, "swarm-manager");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let csr = params.serialize_request(&key).unwrap();
    let certificate = cluster
        .ca
        .issue(
            csr.der(),
            Role::Worker,
            &cluster.id,
            HOUR,
            SystemTime::now(),
        )
        .unwrap();
    assert_eq!(certificate.role(), Role::Worker);
    assert_eq!(certificate.node_id(), key.node_id());
    assert!(RootCertificate::from_der(certificate.der()).is_err());
    let asked = b"manager.example";
    assert!(!certificate.der().windows(asked.len()).any(|w| w == asked));
}

#[test]
fn a_request_of_someone_who_does_not_hold_the_key_is_refused() {
    let mut csr = NodeKey::generate().unwrap().csr().unwrap();
    assert!(node_of_csr(&csr).is_ok());
    *csr.last_mut().unwrap() ^= 1;
    assert!(matches!(node_of_csr(&csr), Err(Error::InvalidRequest(_))));
}

#[test]
fn a_request_for_another_kind_of_key_is_refused() {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let csr = CertificateParams::default()
        .serialize_request(&key)
        .unwrap();
    assert!(matches!(
        node_of_csr(csr.der()),
        Err(Error::InvalidRequest(_))
    ));
}

#[test]
fn the_ca_survives_being_written_down() {
    let cluster = Cluster::new();
    let (cert, key) = (cluster.ca.cert_pem(), cluster.ca.key_pem());
    let again = CertificateAuthority::from_pem(&cert, &key).unwrap();
    assert_eq!(again.root(), cluster.ca.root());
    let node = NodeKey::generate().unwrap();
    let certificate = again
        .issue(
            &node.csr().unwrap(),
            Role::Worker,
            &cluster.id,
            HOUR,
            SystemTime::now(),
        )
        .unwrap();
    certs::Identity::new(node, certificate, cluster.ca.root().clone()).unwrap();
}

#[test]
fn the_key_of_another_ca_is_refused() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    assert!(matches!(
        CertificateAuthority::from_pem(&ours.ca.cert_pem(), &theirs.ca.key_pem()),
        Err(Error::InvalidKey(_))
    ));
}

#[test]
fn a_root_shows_what_docker_shows() {
    let cluster = Cluster::new();
    let root = cluster.ca.root();
    let name = b"swarm-ca";
    assert!(root.subject_der().windows(name.len()).any(|w| w == name));
    // SubjectPublicKeyInfo of P-256: 26 bytes of header and a point of 65.
    assert_eq!(root.public_key_der().len(), 91);
    assert_eq!(&RootCertificate::from_pem(&root.to_pem()).unwrap(), root);
}

#[test]
fn an_impossible_date_is_an_error() {
    let cluster = Cluster::new();
    let csr = NodeKey::generate().unwrap().csr().unwrap();
    for (now, lifetime) in [
        (SystemTime::UNIX_EPOCH - HOUR, HOUR),
        (SystemTime::now(), Duration::MAX),
        (SystemTime::now(), Duration::from_secs(u64::MAX / 2)),
        (SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40), HOUR),
    ] {
        let issued = cluster
            .ca
            .issue(&csr, Role::Worker, &cluster.id, lifetime, now);
        assert!(matches!(issued, Err(Error::Signing(_))));
    }
}

#[test]
fn two_certificates_of_one_node_have_different_serial_numbers() {
    let cluster = Cluster::new();
    let key = NodeKey::generate().unwrap();
    let now = SystemTime::now();
    let first = cluster.certificate_at(&key, Role::Worker, now);
    let second = cluster.certificate_at(&key, Role::Worker, now);
    let serial = |certificate: &Certificate| {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate.der()).unwrap();
        parsed.raw_serial().to_vec()
    };
    assert_ne!(serial(&first), serial(&second));
}

#[test]
fn a_certificate_is_renewed_between_half_and_four_fifths_of_its_life() {
    let cluster = Cluster::new();
    let now = SystemTime::now();
    let certificate = cluster.certificate_at(&NodeKey::generate().unwrap(), Role::Worker, now);
    let after = |random01| whole_seconds(certificate.renew_at(random01)) - whole_seconds(now);
    assert_eq!((after(0.0), after(0.5), after(1.0)), (1800, 2340, 2880));
    assert_eq!(
        (after(-1.0), after(9.0), after(f64::NAN)),
        (1800, 2880, 1800)
    );
}

#[test]
fn a_key_written_down_is_the_same_node() {
    let key = NodeKey::generate().unwrap();
    let again = NodeKey::from_pem(&key.to_pem().unwrap()).unwrap();
    assert_eq!(again.node_id(), key.node_id());
    let again = NodeKey::from_pkcs8_der(&key.to_pkcs8_der().unwrap()).unwrap();
    assert_eq!(again.node_id(), key.node_id());
    assert!(format!("{key:?}").contains(&key.node_id().to_string()));
}

fn decode_everything(bytes: &[u8]) {
    let _ = Certificate::from_der(bytes);
    let _ = RootCertificate::from_der(bytes);
    let _ = NodeKey::from_pkcs8_der(bytes);
    let _ = node_of_csr(bytes);
    let text = String::from_utf8_lossy(bytes);
    let _ = Certificate::from_pem(&text);
    let _ = NodeKey::from_pem(&text);
    let _ = CertificateAuthority::from_pem(&text, &text);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        decode_everything(&bytes);
    }

    #[test]
    fn no_damage_panics(flips in prop::collection::vec((0usize..2000, 1u8..), 1..4), cut in 0usize..2000) {
        let cluster = Cluster::new();
        let key = NodeKey::generate().unwrap();
        for good in [
            cluster.certificate(&key, Role::Worker).der().to_vec(),
            cluster.ca.root().der().to_vec(),
            key.csr().unwrap(),
            key.to_pkcs8_der().unwrap().to_vec(),
        ] {
            let mut bad = good.clone();
            for (place, flip) in &flips {
                let place = place % bad.len();
                bad[place] ^= flip;
            }
            decode_everything(&bad);
            decode_everything(&good[..cut % good.len()]);
        }
    }
}

#[test]
fn a_certificate_that_came_by_mail_is_judged_as_in_a_handshake() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let me = ours.member(Role::Worker);
    let key = NodeKey::generate().unwrap();
    let now = SystemTime::now();
    let certificate = ours.certificate(&key, Role::Manager);
    let admitted = me.check_member(certificate.der(), now).unwrap();
    assert_eq!(admitted.public_key(), key.public_key());
    assert_eq!(admitted.role(), Role::Manager);

    let refused = |der: &[u8], now| me.check_member(der, now).unwrap_err();
    let foreign = theirs.certificate(&key, Role::Worker);
    assert_eq!(refused(foreign.der(), now), Refusal::Untrusted);
    assert_eq!(refused(b"no certificate", now), Refusal::Invalid);
    assert_eq!(
        refused(certificate.der(), now + 2 * HOUR),
        Refusal::OutsideValidity
    );
    me.set_revoked([key.node_id()].into());
    assert_eq!(refused(certificate.der(), now), Refusal::Revoked);
}
