//! Lists of networks, asked whether they hold an address.

use super::feed::Cell;
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;

/// A set of networks.
///
/// Nothing is told about a network but that it is there, so what a tree of prefixes would hold is kept flat: disjoint
/// address ranges in order, and where in them each group of leading bits begins. A look-up is two steps into a table and
/// a search among the few ranges of one group, whatever the size of the list.
#[derive(Debug)]
pub struct Acl {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

/// Networks of a condition.
#[derive(Debug, Clone)]
pub enum Networks {
    /// They stay.
    Fixed(Arc<Acl>),
    /// They come from a file that is watched.
    Watched(Arc<Cell<Acl>>),
}

impl Networks {
    /// Whether `address` is in one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        match self {
            Networks::Fixed(acl) => acl.contains(address),
            Networks::Watched(cell) => cell.get().contains(address),
        }
    }
}

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
        Acl { v4: Ranges::new(v4), v6: Ranges::new(v6) }
    }

    /// Whether `address` is in one of the networks; an IPv4-mapped IPv6 address compares as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.hold(address.to_bits()),
            // `::/0` and other networks around ::ffff:0:0/96 do not hold IPv4 peers: the peer is IPv4.
            IpAddr::V6(address) => self.v6.hold(address.to_bits()),
        }
    }
}

/// Bits of an address that tell its group at most: a table of 256 KiB for the longest lists.
const GROUP_BITS_MAX: u32 = 16;

/// Disjoint ranges in ascending order, both ends inclusive.
#[derive(Debug)]
struct Ranges<T> {
    firsts: Box<[T]>,
    lasts: Box<[T]>,
    /// Of each group of addresses, how many ranges begin before it; and how many there are.
    before: Box<[u32]>,
    /// The group of an address is what is left of it after this shift, less that of the first range.
    shift: u32,
}

/// An address as a number.
trait Bits: Copy + Ord + Default {
    const BITS: u32;

    /// How many leading bits two addresses have in common.
    fn common(self, other: Self) -> u32;

    /// The lowest bits of what is left after a shift to the right.
    fn shifted(self, by: u32) -> usize;
}

impl Bits for u32 {
    const BITS: u32 = 32;

    fn common(self, other: u32) -> u32 {
        (self ^ other).leading_zeros()
    }

    fn shifted(self, by: u32) -> usize {
        self.checked_shr(by).unwrap_or(0) as usize
    }
}

impl Bits for u128 {
    const BITS: u32 = 128;

    fn common(self, other: u128) -> u32 {
        (self ^ other).leading_zeros()
    }

    fn shifted(self, by: u32) -> usize {
        self.checked_shr(by).unwrap_or(0) as usize
    }
}

impl<T: Bits> Ranges<T> {
    fn new(ranges: Vec<(T, T)>) -> Ranges<T> {
        let merged = merge(ranges);
        let (firsts, lasts): (Vec<T>, Vec<T>) = merged.into_iter().unzip();
        let (Some(&least), Some(&greatest)) = (firsts.first(), firsts.last()) else {
            return Ranges {
                firsts: Box::default(),
                lasts: Box::default(),
                before: Box::default(),
                shift: 0,
            };
        };
        // About a range for each group, as far as that goes.
        let bits = firsts.len().next_power_of_two().trailing_zeros().min(GROUP_BITS_MAX);
        let shift = (T::BITS - least.common(greatest)).saturating_sub(bits);
        let groups = greatest.shifted(shift) - least.shifted(shift) + 1;
        let mut before = vec![0; groups + 1];
        for first in &firsts {
            before[first.shifted(shift) - least.shifted(shift) + 1] += 1;
        }
        for group in 0..groups {
            before[group + 1] += before[group];
        }
        Ranges { firsts: firsts.into(), lasts: lasts.into(), before: before.into(), shift }
    }

    fn hold(&self, address: T) -> bool {
        let (Some(&least), Some(&greatest)) = (self.firsts.first(), self.firsts.last()) else { return false };
        if address < least {
            return false;
        }
        let beginning = if address >= greatest {
            self.firsts.len()
        } else {
            // Between the first and the last range, so its group is one of theirs.
            let group = address.shifted(self.shift) - least.shifted(self.shift);
            let (from, to) = (self.before[group] as usize, self.before[group + 1] as usize);
            from + self.firsts[from..to].partition_point(|&first| first <= address)
        };
        address <= self.lasts[beginning - 1]
    }
}

fn merge<T: Copy + Ord>(mut ranges: Vec<(T, T)>) -> Vec<(T, T)> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(open) if first <= open.1 => open.1 = open.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
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

    /// What a list says that is searched from end to end.
    fn naive(networks: &[IpNet], address: IpAddr) -> bool {
        networks.iter().any(|network| network.contains(&address.to_canonical()))
    }

    /// Numbers without a pattern (xorshift), the same in every run.
    fn numbers(seed: u64) -> impl FnMut() -> u64 {
        let mut state = seed;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        }
    }

    /// Networks of any length, close together and far apart, asked at and beside their edges.
    #[test]
    fn lists_of_all_sizes_answer_as_a_search_from_end_to_end() {
        for (size, spread) in [(1, 32), (2, 32), (3, 4), (60, 32), (60, 10), (700, 32), (700, 14)] {
            let mut next = numbers(0x9e37_79b9_7f4a_7c15 ^ size << 8 ^ spread);
            let mut networks: Vec<IpNet> = Vec::new();
            for _ in 0..size {
                let bits = (next() as u32) & (u32::MAX >> (32 - spread)) | 0x0a00_0000;
                let length = 8 + next() % 25;
                let wide = u128::from(next()) << 64 | u128::from(next());
                let six = (wide >> (32 - spread)) << 20 | 0x2a00 << 112;
                networks.push(
                    format!("{}/{length}", std::net::Ipv4Addr::from_bits(bits)).parse().expect("a network"),
                );
                let length = 16 + next() % 113;
                networks.push(
                    format!("{}/{length}", std::net::Ipv6Addr::from_bits(six)).parse().expect("a network"),
                );
            }
            let acl = Acl::new(&networks);
            let edges = networks.iter().flat_map(|network| [network.network(), network.broadcast()]);
            for edge in edges.collect::<Vec<_>>() {
                for step in [-1_i8, 0, 1] {
                    let address: IpAddr = match edge {
                        IpAddr::V4(edge) => {
                            std::net::Ipv4Addr::from_bits(edge.to_bits().wrapping_add_signed(i32::from(step)))
                                .into()
                        }
                        IpAddr::V6(edge) => std::net::Ipv6Addr::from_bits(
                            edge.to_bits().wrapping_add_signed(i128::from(step)),
                        )
                        .into(),
                    };
                    assert_eq!(acl.contains(address), naive(&networks, address), "{address} of {size}");
                }
            }
            for extreme in ["0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"] {
                let address: IpAddr = extreme.parse().expect("an address");
                assert_eq!(acl.contains(address), naive(&networks, address), "{address} of {size}");
            }
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
