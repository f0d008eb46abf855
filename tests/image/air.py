"""A phone, a venue's router and what lies behind it, in network namespaces of the box's own machine, with SIMULATED radios (mac80211_hwsim).

The programs are real: wpa_supplicant and a DHCP client in the phone, hostapd and dnsmasq in the router, NetworkManager in the box. The air
is the kernel's: nobody is too far away, and nothing is lost.
"""

import base64
import contextlib
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from machine import Failed, Machine, check, free_port, wait

# Three radios: the box's stays where it is.
OPEN = r"""
modprobe mac80211_hwsim radios=3 support_p2p_device=0 || exit 1
for name in phone venue; do ip netns add $name && ip netns exec $name ip link set lo up || exit 1; done
radio() { cat /sys/class/net/$1/phy80211/name; }
iw phy $(radio wlan1) set netns name phone && iw phy $(radio wlan2) set netns name venue
"""

ROUTER = r"""
mkdir -p /run/air && cd /run/air
{ printf 'interface=wlan2\ndriver=nl80211\nhw_mode=g\nieee80211n=1\n'; cat; } >hostapd.conf <<'END'
@LINES@
END
ip netns exec venue ip link set wlan2 up
ip netns exec venue hostapd -B -P hostapd.pid -f hostapd.log hostapd.conf || { cat hostapd.log; exit 1; }
ip netns exec venue ip addr replace 192.168.77.1/24 dev wlan2
"""

DHCP = r"""
cd /run/air && ip netns exec venue dnsmasq --conf-file=/dev/null --no-resolv --no-hosts --interface=wlan2 --bind-interfaces --no-ping \
  --dhcp-range=192.168.77.50,192.168.77.90,1h --pid-file=/run/air/dnsmasq.pid --dhcp-leasefile=/run/air/leases --dhcp-authoritative \
  --address=/#/192.168.77.1 --local=/#/ --user=root
"""

OFF = r"""
cd /run/air; for name in dnsmasq hostapd; do [ ! -e $name.pid ] || kill $(cat $name.pid); done
sleep 1; rm -f dnsmasq.pid hostapd.pid leases; ip netns exec venue ip link set wlan2 down
"""

JOIN = r"""
mkdir -p /run/air && cd /run/air && [ ! -e phone.pid ] || { kill $(cat phone.pid); rm -f phone.pid; sleep 0.5; }
cat >phone.conf <<'END'
ctrl_interface=/run/air/phone
network={
 ssid="@SSID@"
@LINES@
 scan_freq=2412 2437 2462
}
END
ip netns exec phone ip addr flush dev wlan1
ip netns exec phone wpa_supplicant -B -i wlan1 -c phone.conf -D nl80211 -f phone.log -P /run/air/phone.pid >/dev/null || exit 1
for i in $(seq 300); do ip netns exec phone wpa_cli -p /run/air/phone -i wlan1 status | grep -q wpa_state=COMPLETED && exit 0; sleep 0.1; done
tail -n 20 phone.log; exit 1
"""

ADDRESS = r"""
cd /run/air; cat >lease.sh <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
env | grep -E '^(opt114|dns|router|ip|mask)=' | sort
ip addr flush dev $interface; ip addr add $ip/$mask dev $interface; ip route replace default via $router
END
chmod +x lease.sh; ip netns exec phone busybox udhcpc -i wlan1 -n -q -f -t 8 -T 2 -O 114 -s /run/air/lease.sh 2>&1
"""


# A cable into each namespace, found by its hardware address, and what goes on from there.
ROADS = r"""
road() {
  for device in /sys/class/net/*; do [ "$(cat $device/address)" != $2 ] || device=${device##*/} found=1; [ -z "$found" ] || break; done
  [ -n "$found" ] && ip link set $device netns $1 && ip -n $1 addr add $3/24 dev $device && ip -n $1 link set $device up || exit 1
  found=
}
road phone 52:54:00:ee:00:01 10.0.8.15
road venue 52:54:00:ee:00:02 10.0.9.15
setsid ip netns exec phone busybox nc -ll -p 1935 -e busybox nc 4.3.2.1 1935 </dev/null >/dev/null 2>&1 &
setsid ip netns exec venue busybox nc -ll -p 1935 -e busybox nc 10.0.9.2 @PLATFORM@ </dev/null >/dev/null 2>&1 &
"""


class Roads:
    """Two cables that are none of the box's: from an encoder on this machine to the phone, which sends it on over the box's Wi-Fi; and from the
    venue's router to a platform on this machine, which the box reaches as 192.168.77.1."""

    def __init__(self):
        self.encoder, self.platform = free_port(), free_port()
        self.qemu = [
            "-netdev", f"user,id=phone,net=10.0.8.0/24,hostfwd=tcp:127.0.0.1:{self.encoder}-10.0.8.15:1935",
            "-device", "virtio-net-pci,netdev=phone,mac=52:54:00:ee:00:01,romfile=",
            "-netdev", "user,id=venue,net=10.0.9.0/24", "-device", "virtio-net-pci,netdev=venue,mac=52:54:00:ee:00:02,romfile=",
        ]  # fmt: skip

    def open(self, box: Machine) -> None:
        """Once there are namespaces."""
        box.sh(ROADS.replace("@PLATFORM@", str(self.platform)), ok=True)

    def hole(self, box: Machine, seconds: float) -> None:
        """The venue's line to the world leads nowhere for a while."""
        rules = "table inet hole { chain in { type filter hook input priority 0; iifname wlan2 tcp dport 1935 drop; }; }"
        box.sh(f"echo '{rules}' | ip netns exec venue nft -f - && sleep {seconds} && ip netns exec venue nft delete table inet hole", ok=True)


@dataclass
class Answer:
    """What a server said."""

    status: int
    location: str
    body: str
    cookies: list[str] = field(default_factory=list)


class Air:
    """Everything that a phone sees and does."""

    def __init__(self, box: Machine):
        self.box = box
        self.cookies: dict[str, str] = {}

    def open(self, *venue: str) -> None:
        """Switches all radios on. A router that is named is there before the box has looked around, which it does before it raises its access point."""
        self.box.sh(OPEN + (self.routing(*venue) + DHCP if venue else ""), ok=True)

    # -- the venue ----------------------------------------------------------------------------------------------------------------------

    def router(self, *words: str, dhcp: bool = True, **more: object) -> None:
        self.box.sh(self.routing(*words, **more) + (DHCP if dhcp else ""), ok=True)

    @staticmethod
    def routing(ssid: str, password: str | None = None, *, channel: int = 1, wpa3: bool = False, hidden: bool = False, user: str | None = None) -> str:
        """`user`: each has a name and a password of their own (802.1X), of which this is one."""
        before, lines = "", [f"ssid={ssid}", f"channel={channel}", *(["ignore_broadcast_ssid=1"] if hidden else [])]
        if user:
            certificate, key = certified()
            files = {"server.pem": certificate, "server.key": key, "users": f'* PEAP\n"{user}" MSCHAPV2 "{password}" [2]\n'}
            before = "mkdir -p /run/air && cd /run/air\n" + "".join(f"echo {encoded(text)} | base64 -d >{name}\n" for name, text in files.items())
            lines += ["wpa=2", "wpa_key_mgmt=WPA-EAP", "rsn_pairwise=CCMP", "ieee8021x=1", "eap_server=1", "eap_user_file=users"]
            lines += ["ca_cert=server.pem", "server_cert=server.pem", "private_key=server.key"]
        elif password and wpa3:
            lines += ["wpa=2", "wpa_key_mgmt=SAE", "rsn_pairwise=CCMP", "ieee80211w=2", f"sae_password={password}", "sae_pwe=2"]
        elif password:
            lines += ["wpa=2", "wpa_key_mgmt=WPA-PSK", "rsn_pairwise=CCMP", f"wpa_passphrase={password}"]
        return before + ROUTER.replace("@LINES@", "\n".join(lines))

    def router_off(self) -> None:
        self.box.sh(OFF)

    def in_venue(self, script: str, limit: float = 60) -> str:
        return self.box.sh(f"ip netns exec venue sh -c {quoted(script)}", limit)

    # -- the phone ----------------------------------------------------------------------------------------------------------------------

    def own_name(self, limit: float = 300) -> str:
        """The name of the box's access point, as soon as the phone sees one."""

        def look() -> str | None:
            # A machine that is starting has its moments.
            with contextlib.suppress(Failed):
                self.box.sh("ip netns exec phone ip link set wlan1 up")
            try:
                heard = self.box.sh("ip netns exec phone timeout 20 iw dev wlan1 scan freq 2412 2437 2462 flush 2>/dev/null | grep 'SSID: Motherstream-'", 60)
            except Failed:
                return None
            return heard.partition("SSID: ")[2].split("\n")[0].strip() or None

        return wait("the box's access point", limit, look, 1)

    def join(self, ssid: str, password: str | None = None) -> float:
        """Joins and asks for an address; the seconds that took, and what was given."""
        began = time.monotonic()
        lines = f' psk="{password}"\n key_mgmt=WPA-PSK' if password else " key_mgmt=NONE"
        self.box.sh(JOIN.replace("@SSID@", ssid).replace("@LINES@", lines), ok=True)
        self.given = self.box.sh(ADDRESS, ok=True)
        return time.monotonic() - began

    def curl(
        self, url: str, *, address: str | None = None, form: dict[str, str] | None = None, body: str | None = None, method: str = "PUT", limit: float = 20, inside: bool = False,
    ) -> Answer:  # fmt: skip
        """A request as a browser makes it, with its cookies; `address`: what DNS answered for the host; `inside`: from the box itself."""
        words = ["" if inside else "ip netns exec phone", "curl -s -S -D - --max-time", str(int(limit)), "-A 'a phone'"]
        if address:
            host = re.match(r"https?://([^/:]+)(:\d+)?", url)
            words += [f"--resolve {host[1]}:{(host[2] or ':80')[1:]}:{address}"]
        if self.cookies:
            words += ["-b", quoted("; ".join(f"{name}={value}" for name, value in self.cookies.items()))]
        for name, value in (form or {}).items():
            words += ["--data-urlencode", quoted(f"{name}={value}")]
        if body is not None:
            words += ["-H 'Content-Type: application/json' -X", method, "--data-binary", quoted(body)]
        text = self.box.sh(" ".join([*words, quoted(url)]), limit + 15)
        text = text.replace("\r\n", "\n")
        head, _, rest = text.partition("\n\n")
        if not head.startswith("HTTP/"):
            return Answer(0, "", text)
        for name, value in re.findall(r"(?im)^set-cookie: ([^=]+)=([^;\n]*)", head):
            self.cookies[name] = value
        location = re.search(r"(?im)^location: (.*)$", head)
        return Answer(int(head.split()[1]), location[1].strip() if location else "", rest)

    def unpacked(self, url: str, *parts: str) -> str:
        """What is written in these parts of an archive, of those that it has."""
        cookies = quoted("; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        download = f"cd /run/air && ip netns exec phone curl -sS -f --max-time 40 -b {cookies} -o archive.zip {quoted(url)} || exit 1"
        return self.box.sh(f"{download}\nfor part in {' '.join(parts)}; do busybox unzip -p archive.zip $part 2>/dev/null; done; true", ok=True)

    def asks(self, name: str, kind: str = "A", server: str = "4.3.2.1") -> str:
        """What the access point's DNS says."""
        return self.box.sh(f"ip netns exec phone busybox nslookup -type={kind.lower()} {name} {server} 2>&1")

    def probed(self, urls: list[str]) -> dict[str, tuple[str, str, str]]:
        """For each address: what its host's name is said to be, and what is answered there, by status and Location."""
        found = {}
        for begin in range(0, len(urls), 8):
            lines = []
            for url in urls[begin : begin + 8]:
                host = re.match(r"http://([^/:]+)", url)[1]
                lines += [
                    f"address=$(ip netns exec phone busybox nslookup -type=a {host} 4.3.2.1 2>&1 | sed -n '/^Name/,$s/^Address[ 0-9]*: *//p' | head -n 1)",
                    f"echo {quoted(url)} $address $(ip netns exec phone curl -s --max-time 10 -o /dev/null -w '%{{http_code}} %{{redirect_url}}' "
                    f"--resolve {host}:80:${{address:-0.0.0.0}} {quoted(url)})",
                ]  # fmt: skip
            for line in self.box.sh("\n".join(lines), 115).splitlines():
                url, *rest = line.split()
                found[url] = tuple([*rest, "", "", ""][:3])
        missing = set(urls) - set(found)
        check("every probe was asked", not missing, missing)
        return found

    def reaches(self, address: str, port: int) -> str:
        """`open`, `refused`, or `nothing`."""
        said = self.box.sh(f"ip netns exec phone curl -s -m 4 -o /dev/null telnet://{address}:{port} </dev/null; echo code=$?", 30)
        code = int(said.rpartition("code=")[2])
        return {7: "refused", 28: "nothing"}.get(code, "open" if code in (0, 48, 49, 56) else f"curl says {code}")


def certified() -> tuple[str, str]:
    """A certificate of a venue's server, signed by itself, and its key."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=radius.venue.example", "-keyout", "key", "-out", "certificate"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return Path(folder, "certificate").read_text(), Path(folder, "key").read_text()


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


__all__ = ["Air", "Answer", "Failed", "check", "encoded", "quoted", "wait"]
