//! How large the packets are that containers send on a network.

use super::NetworkSpec;

/// The option of a network's driver that says so, by the name that Docker's
/// own drivers know it by.
const MTU_OPTION: &str = "com.docker.network.driver.mtu";

/// What each family has to carry in one piece: RFC 791 and RFC 8200.
const LEAST: u16 = 68;
const LEAST_OF_IPV6: u16 = 1280;

impl NetworkSpec {
    /// In bytes; `None`: as many as each node's overlay carries, which is the
    /// most in any case.
    ///
    /// # Errors
    /// Why what the user wrote cannot be.
    pub fn mtu(&self) -> Result<Option<u16>, String> {
        let options = self.driver.iter().map(|driver| &driver.options);
        let Some(text) = options.filter_map(|it| it.get(MTU_OPTION)).next() else {
            return Ok(None);
        };
        let least = match self.ipv6 {
            true => LEAST_OF_IPV6,
            false => LEAST,
        };
        match text.parse() {
            // As if nothing was said, with Docker too.
            Ok(0) => Ok(None),
            Ok(mtu) if mtu >= least => Ok(Some(mtu)),
            _ => Err(format!(
                "invalid option {MTU_OPTION}={text}: it is the bytes of a packet, from {least} to {}",
                u16::MAX
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Driver;

    fn mtu(text: &str, ipv6: bool) -> Result<Option<u16>, String> {
        let spec = NetworkSpec {
            ipv6,
            driver: Some(Driver {
                name: "overlay".to_owned(),
                options: [(MTU_OPTION.to_owned(), text.to_owned())].into(),
            }),
            ..NetworkSpec::default()
        };
        spec.mtu()
    }

    #[test]
    fn what_nobody_said_is_left_to_the_node() {
        assert_eq!(NetworkSpec::default().mtu(), Ok(None));
        assert_eq!(mtu("0", false), Ok(None));
    }

    #[test]
    fn only_what_can_be_carried_is_taken() {
        assert_eq!(mtu("68", false), Ok(Some(68)));
        assert_eq!(mtu("1400", true), Ok(Some(1400)));
        assert_eq!(mtu("9000", false), Ok(Some(9000)));
        for (text, ipv6, least) in [
            ("67", false, 68),
            ("-1", false, 68),
            ("65536", false, 68),
            ("1400 ", false, 68),
            ("", false, 68),
            ("1279", true, 1280),
        ] {
            let why = format!(
                "invalid option com.docker.network.driver.mtu={text}: it is the bytes of a \
                 packet, from {least} to 65535"
            );
            assert_eq!(mtu(text, ipv6), Err(why));
        }
    }
}
