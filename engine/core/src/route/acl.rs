//! Lists of networks, asked whether they hold an address.

use ipnet::IpNet;
use std::net::IpAddr;

/// A set of networks.
///
/// Kept as disjoint, sorted address ranges, so a look-up is one binary search whatever the list's size.
#[derive(Debug)]
pub struct Acl {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

/// Disjoint ranges in ascending order, both ends inclusive.
type Ranges<T> = Vec<(T, T)>;

impl Acl {
    /// Compiles a list; its order does not matter.
    ///
    /// Networks of IPv4-mapped IPv6 addresses hold the IPv4 addresses they stand for.
    pub fn new(networks: &[IpNet]) -> Acl {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network {
                IpNet::V4(network) => v4.push((network.network().to_bits(), network.broadcast().to_bits())),
                IpNet::V6(network) => {
                    let (first, last) = (network.network(), network.broadcast());
                    match (first.to_ipv4_mapped(), last.to_ipv4_mapped()) {
                        (Some(first), Some(last)) => v4.push((first.to_bits(), last.to_bits())),
                        _ => v6.push((first.to_bits(), last.to_bits())),
                    }
                }
            }
        }
        Acl { v4: merge(v4), v6: merge(v6) }
    }

    /// Whether `address` is in one of the networks; an IPv4-mapped IPv6 address compares as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => holds(&self.v4, address.to_bits()),
            // `::/0` and other networks around ::ffff:0:0/96 do not hold IPv4 peers: the peer is IPv4.
            IpAddr::V6(address) => holds(&self.v6, address.to_bits()),
        }
    }
}

fn merge<T: Copy + Ord>(mut ranges: Ranges<T>) -> Ranges<T> {
    ranges.sort_unstable();
    let mut merged: Ranges<T> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(open) if first <= open.1 => open.1 = open.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

fn holds<T: Copy + Ord>(ranges: &Ranges<T>, address: T) -> bool {
    let after = ranges.partition_point(|&(first, _)| first <= address);
    after > 0 && address <= ranges[after - 1].1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(networks: &[&str]) -> Acl {
        let parsed: Vec<IpNet> = networks.iter().map(|text| text.parse().expect("a network")).collect();
        Acl::new(&parsed)
    }

    fn holds(acl: &Acl, address: &str) -> bool {
        acl.contains(address.parse().expect("an address"))
    }

    #[test]
    fn nested_and_adjacent_networks_answer_as_their_union() {
        let acl = acl(&["10.0.0.0/8", "10.1.0.0/16", "192.0.2.7/32", "192.0.2.8/29", "2001:db8::/32"]);
        for inside in ["10.0.0.0", "10.255.255.255", "10.1.2.3", "192.0.2.7", "192.0.2.15", "2001:db8::1"] {
            assert!(holds(&acl, inside), "{inside}");
        }
        for outside in ["9.255.255.255", "11.0.0.0", "192.0.2.6", "192.0.2.16", "2001:db9::", "::1"] {
            assert!(!holds(&acl, outside), "{outside}");
        }
    }

    #[test]
    fn mapped_addresses_compare_as_ipv4_on_both_sides() {
        assert!(holds(&acl(&["192.0.2.0/24"]), "::ffff:192.0.2.9"));
        assert!(holds(&acl(&["::ffff:192.0.2.0/120"]), "192.0.2.9"));
        assert!(!holds(&acl(&["::ffff:192.0.2.0/120"]), "192.0.3.9"));
    }

    #[test]
    fn host_bits_in_a_network_do_not_matter() {
        assert!(holds(&acl(&["192.0.2.99/24"]), "192.0.2.1"));
        assert!(!holds(&acl(&[]), "192.0.2.1"));
        assert!(holds(&acl(&["0.0.0.0/0"]), "255.255.255.255"));
    }
}
