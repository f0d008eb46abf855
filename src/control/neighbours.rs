//! Who is in the venue's own network: in one that this machine is itself in, by cable or Wi-Fi.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::addresses::own_addresses;

/// How interfaces are called that lead into no room: into containers, virtual machines, tunnels, and a provider's network.
const ELSEWHERE: &[&str] = &[
    "lo",
    "docker",
    "br-",
    "veth",
    "virbr",
    "vnet",
    "lxc",
    "lxd",
    "cni",
    "flannel",
    "podman",
    "tun",
    "tap",
    "wg",
    "tailscale",
    "zt",
    "ppp",
    "wwan",
];

/// What was read so long ago is read anew: networks come and go, and guessers come by the thousand.
const FRESH: Duration = Duration::from_secs(10);

/// In the flags of an IPv6 route: nothing is sent there.
const REJECT: u32 = 0x0200;

/// Whether this address is a neighbour's. This machine's own are none: a program here may speak for anybody. The router is none either: it
/// may do so too.
pub(crate) fn is_near(address: IpAddr) -> bool {
    static READ: Mutex<Option<(Instant, Networks)>> = Mutex::new(None);
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    let (_, networks) = match read.take().filter(|(at, _)| at.elapsed() < FRESH) {
        Some(fresh) => read.insert(fresh),
        None => read.insert((Instant::now(), Networks::of_this_machine())),
    };
    networks.hold(address.to_canonical())
}

/// The networks that this machine is in, and who is no neighbour in them.
#[derive(Debug, Default)]
struct Networks {
    direct: Vec<IpNet>,
    /// Routers, and this machine itself.
    others: Vec<IpAddr>,
}

impl Networks {
    fn of_this_machine() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let mut networks = Self::of(&read("/proc/net/route"), &read("/proc/net/ipv6_route"));
        networks.others.extend(own_addresses());
        networks
    }

    /// From the kernel's tables of routes.
    fn of(v4: &str, v6: &str) -> Self {
        let mut networks = Self::default();
        for line in v4.lines().skip(1) {
            networks.add_v4(line);
        }
        for line in v6.lines() {
            networks.add_v6(line);
        }
        networks
    }

    /// Interface, destination, router, flags, three counters, mask: addresses in hexadecimal, as they lie in memory.
    fn add_v4(&mut self, line: &str) -> Option<()> {
        let columns: Vec<_> = line.split_whitespace().collect();
        let [interface, to, router, _, _, _, _, mask, ..] = columns.as_slice() else { return None };
        let address = |text: &str| u32::from_str_radix(text, 16).ok().map(|bits| Ipv4Addr::from(bits.to_ne_bytes()));
        let (to, router, mask) = (address(to)?, address(router)?, address(mask)?);
        if !router.is_unspecified() {
            self.others.push(router.into());
        } else if !mask.is_unspecified() && leads_into_a_room(interface) {
            self.direct.push(Ipv4Net::with_netmask(to, mask).ok()?.into());
        }
        Some(())
    }

    /// Destination and its length, source and its length, router, three counters, flags, interface.
    fn add_v6(&mut self, line: &str) -> Option<()> {
        let columns: Vec<_> = line.split_whitespace().collect();
        let [to, length, _, _, router, _, _, _, flags, interface] = columns.as_slice() else { return None };
        let address = |text: &str| u128::from_str_radix(text, 16).ok().map(Ipv6Addr::from);
        let (to, router) = (address(to)?, address(router)?);
        let (length, flags) = (u8::from_str_radix(length, 16).ok()?, u32::from_str_radix(flags, 16).ok()?);
        if !router.is_unspecified() {
            self.others.push(router.into());
        } else if length > 0 && !to.is_multicast() && flags & REJECT == 0 && leads_into_a_room(interface) {
            self.direct.push(Ipv6Net::new(to, length).ok()?.into());
        }
        Some(())
    }

    fn hold(&self, address: IpAddr) -> bool {
        self.direct.iter().any(|network| network.contains(&address)) && !self.others.contains(&address)
    }
}

fn leads_into_a_room(interface: &str) -> bool {
    !ELSEWHERE.iter().any(|elsewhere| interface.starts_with(elsewhere))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_in_a_network_of_the_machines_and_neither_its_router_nor_a_container() {
        // As a little-endian machine has them.
        let line = |interface: &str, to: [u8; 4], router: [u8; 4], mask: [u8; 4]| {
            let hex = |bytes: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(bytes));
            format!("{interface}\t{}\t{}\t0001\t0\t0\t100\t{}\t0\t0\t0\n", hex(to), hex(router), hex(mask))
        };
        let table = [
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n".to_owned(),
            line("eth0", [0; 4], [192, 168, 1, 1], [0; 4]),
            line("eth0", [192, 168, 1, 0], [0; 4], [255, 255, 255, 0]),
            line("docker0", [172, 17, 0, 0], [0; 4], [255, 255, 0, 0]),
            "eth0 nonsense\n".to_owned(),
        ]
        .concat();
        let zero = "0".repeat(32);
        let list = format!(
            "fd000000000000000000000000000000 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001     eth0\n\
             {zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n\
             fe800000000000000000000000000000 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001     eth0\n\
             {zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n\
             ff000000000000000000000000000000 08 {zero} 00 {zero} 00000100 00000001 00000000 00000001     eth0\n"
        );
        let networks = Networks::of(&table, &list);
        for (address, near) in [
            ("192.168.1.7", true),
            ("192.168.1.1", false),
            ("192.168.2.7", false),
            ("172.17.0.2", false),
            ("127.0.0.1", false),
            ("203.0.113.9", false),
            ("fd00::7", true),
            ("fe80::7", true),
            ("fe80::1", false),
            ("2001:db8::7", false),
        ] {
            assert_eq!(networks.hold(address.parse().unwrap()), near, "{address}");
        }
        assert!(!is_near("127.0.0.1".parse().unwrap()) && !is_near("::1".parse().unwrap()));
        assert!(
            own_addresses().into_iter().all(|own| !is_near(own)),
            "a program on this machine may speak for anybody"
        );
    }
}
