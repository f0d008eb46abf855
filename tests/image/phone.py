"""A box without a cable, and somebody with a phone. The radios are SIMULATED (mac80211_hwsim): see air.py."""

import json
import re
import time
from pathlib import Path

import cases
from air import Air, Roads, check, wait
from cases import PASSWORD, Lab, Platform, Publisher, say
from machine import Machine

PROBES = Path(__file__).parent.parent.parent / "docs/network.md"
VENUE = ("House of Sound", "correct horse")
# Under emulation everything on the box's side takes about six times as long as on a Pi; these are limits, not figures.
JOINED = 240


def probes() -> list[str]:
    """The addresses that phones and computers ask, from the documented table."""
    return sorted(set(re.findall(r"`(http://[^` ]+)`", PROBES.read_text())))


def starts(box: Machine) -> None:
    """Without a cable: its link is down from the first moment on."""
    box.start()
    box.monitor("set_link net off")


def network(air: Air, base: str = "http://4.3.2.1") -> dict:
    answer = air.curl(f"{base}/api/v1/network")
    check("the phone's admin sees the network", answer.status == 200, answer)
    return json.loads(answer.body)


def claimed(box: Machine, air: Air) -> None:
    """The first step of the wizard, with the code on the card."""
    code = wait("the setup code on the card", 60, lambda: box.sh("cat /boot/firmware/setup-code.txt").strip())
    answer = air.curl("http://4.3.2.1/setup", form={"code": code, "name": "Stage", "password": PASSWORD}, limit=60)
    check("the claim is taken, and the next step shown", answer.status == 303 and answer.location.startswith("/setup/"), answer)


def joins(air: Air, ssid: str, password: str = "", **more: str) -> None:
    """The wizard's form, sent from the access point."""
    answer = air.curl("http://4.3.2.1/setup/network", form={"ssid": ssid, "password": password, **more}, limit=60)
    check(f"the form for {ssid} is taken", answer.status in (200, 303), answer)


def told(box: Machine, air: Air, name: str, words: str) -> float:
    """Until the access point is back and the page says why; the seconds since then."""
    wait("the access point to go", 60, lambda: "type AP" not in box.sh("iw dev wlan0 info"), 1)
    wait("the access point to come back", JOINED, lambda: "type AP" in box.sh("iw dev wlan0 info"), 1)
    back = time.monotonic()
    wait("the phone to be back", 120, lambda: rejoined(air, name), 1)
    page = wait("the page", 60, lambda: (answer := air.curl("http://4.3.2.1/setup/network")).status == 200 and answer.body)
    check(f"the page says {words!r}", words in page, page)
    return time.monotonic() - back


def rejoined(air: Air, name: str, password: str | None = None) -> bool:
    try:
        air.join(name, password)
    except Exception:  # the access point is up and does not serve yet
        return False
    return True


def in_venue(box: Machine, air: Air, ssid: str) -> str:
    """Until the box has an address in the venue's network: that address."""
    def look() -> str | None:
        return (found := re.search(r"192\.168\.77\.\d+", box.sh("ip -4 -o addr show wlan0"))) and found[0]

    address = wait(f"the box in {ssid}", JOINED, look, 1)
    air.join(ssid, VENUE[1] if ssid == VENUE[0] else None)
    return address


def begins(box: Machine, air: Air, *venue: str) -> str:
    """From power on to an access point that the phone sees; its name. `venue`: a router that is there before."""
    starts(box)
    box.wait_agent()
    air.open(*venue)
    wait("the page", 300, lambda: "stage=\"page\"" in box.sh("journalctl -D /run/log/journal --no-pager -o cat -u motherstream | grep stage=.page"), 1)
    ready = time.monotonic()
    name = air.own_name()
    say(f"{name}: seen by the phone {time.monotonic() - ready:.0f} s after the page was ready (a box without a cable waits 20 s for one)")
    return name


def stranger(box: Machine, air: Air) -> None:
    """What somebody on the open access point gets at: nothing but the set-up page."""
    for port, means in {22: "SSH", 443: "HTTPS", 1935: "encoders", 1985: "SRS's API", 8085: "SRS's hooks", 8086: "SRS's streams", 8443: "HTTPS"}.items():
        check(f"{means} on port {port} is closed to the access point", air.reaches("4.3.2.1", port) != "open")
    check("HTTPS is refused at once, so that phones try plain HTTP", air.reaches("4.3.2.1", 443) == "refused")
    for path in ("/admin", "/admin/settings", "/me", "/register", "/", "/queue-list"):
        answer = air.curl(f"http://4.3.2.1{path}")
        check(f"{path} leads to the set-up page", (answer.status, answer.location.removeprefix("http://4.3.2.1")) == (302, "/setup"), answer)
    for path in ("/api/v1/accounts", "/api/v1/status", "/program.flv?token=x"):
        check(f"{path} is refused", air.curl(f"http://4.3.2.1{path}").status in (302, 401, 403))
    answers = [air.curl("http://4.3.2.1/setup", form={"code": f"nothing{n}", "name": "Eve", "password": PASSWORD}, limit=60).status for n in range(12)]
    check("the setup code cannot be tried out: after a few tries one has to wait", 429 in answers and 303 not in answers, answers)


def setup(lab: Lab) -> None:
    """nobody touches anything but a phone: access point, captive page, claim, the venue's Wi-Fi, found again by name"""
    card = lab.card(lab.image("one", "1.0"), "phone")
    with lab.machine(card) as box:
        air = Air(box)
        name = begins(box, air, *VENUE)
        began = time.monotonic()
        seconds = air.join(name)
        check("an address, the box for names and as the way out, and the address of the page", all(
            word in air.given for word in ("ip=4.3.2.", "dns=4.3.2.1", "router=4.3.2.1", f"opt114={b'http://4.3.2.1/setup'.hex()}")), air.given)
        say(f"joined, with an address, after {seconds:.1f} s")
        said = air.asks("connectivitycheck.gstatic.com", "AAAA")
        check("AAAA is answered with nothing", "REFUSED" not in said and "4.3.2.1" not in said.partition("answer:")[2], said)
        asked = probes()
        check("the probes are known", len(asked) >= 15, asked)
        for url, (address, status, location) in air.probed(asked).items():
            check(f"{url}: the name is the box", address == "4.3.2.1", address)
            check(f"{url} leads to the set-up page", (status, location) == ("302", "http://4.3.2.1/setup"), (status, location))
        say(f"{len(asked)} probes of phones and computers: each is led to the set-up page, none hears of success")
        stranger(box, air)
        say("a stranger on it reaches the set-up page and nothing else, and cannot try codes out")
        # Whoever has the code waits for no stranger: another phone. The limit is an address's, and this one is used up.
        time.sleep(1)
        box.sh("for words in 'flush dev wlan1' 'add 4.3.2.77/24 dev wlan1'; do ip netns exec phone ip addr $words; done", ok=True)
        claimed(box, air)
        say(f"claimed {time.monotonic() - began:.0f} s after the phone had joined (with all of the above)")
        page = air.curl("http://4.3.2.1/setup/network").body
        check("the venue's network is in the list", VENUE[0] in page, page)
        page = air.curl(f"http://4.3.2.1/setup/network?ssid={VENUE[0].replace(' ', '+')}").body
        check("its form says first what will happen, and where the box is then", "motherstream.local" in page and name in page, page)
        joins(air, VENUE[0], "wrong horse")
        seconds = told(box, air, name, "password")
        say(f"a wrong password: told {seconds:.0f} s after the access point was back")
        began = time.monotonic()
        joins(air, *VENUE)
        address = in_venue(box, air, VENUE[0])
        say(f"the right one: in the venue's network, and the phone too, after {time.monotonic() - began:.0f} s")
        answer = wait("the page in the venue's network", 60, lambda: (a := air.curl(f"http://{address}/")).status in (200, 303) and a)
        check("it is the whole page there", answer.status == 200, answer)
        check("by name", air.curl("http://motherstream.local/", address=address).status == 200)
        say(f"found again: {address}, and motherstream.local")
        # What the box asks of NetworkManager beside that, and polkit lets it: passwords, for a backup that asks for them.
        air.curl(f"http://{address}/login", form={"name": "Stage", "password": PASSWORD}, limit=60)
        backup = f"http://{address}/api/v1/backup"
        whole = air.unpacked(f"{backup}?wifi=true", "backup.json", "wifi.json")
        check("a backup has the network's password where that is asked for", '"motherstream"' in whole and VENUE[1] in whole, whole)
        whole = air.unpacked(backup, "backup.json", "wifi.json")
        check("and else not", '"motherstream"' in whole and VENUE[1] not in whole, whole)
        box.shut_down()


def rough(lab: Lab) -> None:
    """what goes wrong with a venue's network: no address, gone and back, WPA3, hidden, the plug pulled in a join, a cable in the middle"""
    card = lab.card(lab.image("one", "1.0"), "phone-rough")
    with lab.machine(card) as box:
        air = Air(box)
        name = begins(box, air)
        air.join(name)
        claimed(box, air)
        joins(air, "Nowhere", "a long password")
        say(f"no such network: told {told(box, air, name, 'No network called Nowhere'):.0f} s after the access point was back")
        air.router("No Lease", dhcp=False)
        joins(air, "No Lease")
        say(f"a network that gives no address: told {told(box, air, name, 'gave it no address'):.0f} s after the access point was back")
        air.router_off()
        # The plug, in the middle of a join.
        air.router("No Lease", dhcp=False)
        joins(air, "No Lease")
        wait("the join to be under way", 60, lambda: "type managed" in box.sh("iw dev wlan0 info") and "Connected" in box.sh("iw dev wlan0 link"), 0.5)
        box.kill()
        starts(box)
        box.wait_agent()
        air.open()
        check("the same name", air.own_name() == name)
        air.join(name)
        box_page = air.curl("http://4.3.2.1/login", form={"name": "Stage", "password": PASSWORD, "next": "/setup/network"}, limit=60)
        check("the claim is kept, and its owner signs in", box_page.status == 303, box_page)
        page = air.curl("http://4.3.2.1/setup/network").body
        check("the page says that it was broken off", "broken off" in page, page)
        say("the plug pulled in the middle of a join: the access point is back, the claim is kept, and the page says what was broken off")
        air.router("Tomorrow", "three is new", wpa3=True)
        joins(air, "Tomorrow", "three is new")
        in_address = wait("the box in a WPA3 network", JOINED, lambda: re.search(r"192\.168\.77\.\d+", box.sh("ip -4 -o addr show wlan0")), 1)
        say(f"a network with WPA3 alone: joined, {in_address[0]}")
        air.router_off()
        back = time.monotonic()
        wait("the access point, because the known network is gone", 400, lambda: "type AP" in box.sh("iw dev wlan0 info"), 2)
        say(f"the network is gone: the access point is up {time.monotonic() - back:.0f} s later (network.setup_after_seconds is 120)")
        air.router("Tomorrow", "three is new", wpa3=True)
        wait("the box back in the network that it knows", 600, lambda: re.search(r"192\.168\.77\.\d+", box.sh("ip -4 -o addr show wlan0")), 2)
        say(f"the network is back, nobody is on the access point: joined by itself, {time.monotonic() - back:.0f} s after it had gone")
        air.router_off()
        air.router("Unseen", "show yourself", hidden=True)
        wait("the access point again", 400, lambda: "type AP" in box.sh("iw dev wlan0 info"), 2)
        air.join(name)
        joins(air, "Unseen", "show yourself", hidden="on")
        wait("the box in a hidden network", JOINED, lambda: re.search(r"192\.168\.77\.\d+", box.sh("ip -4 -o addr show wlan0")), 1)
        say("a network that hides its name: joined")
        air.router_off()
        wait("the access point again", 400, lambda: "type AP" in box.sh("iw dev wlan0 info"), 2)
        air.router("Campus", "her own password", user="ada")
        air.join(name)
        joins(air, "Campus", "not her password", identity="ada")
        say(f"a wrong password of a user: told {told(box, air, name, 'password'):.0f} s after the access point was back")
        joins(air, "Campus", "her own password", identity="ada")
        wait("the box in a network that asks each for their own", JOINED, lambda: re.search(r"192\.168\.77\.\d+", box.sh("ip -4 -o addr show wlan0")), 1)
        say("a network that asks for a user name and password: joined")
        air.router_off()
        wait("the access point once more", 400, lambda: "type AP" in box.sh("iw dev wlan0 info"), 2)
        air.join(name)
        check("the wizard is there", air.curl("http://4.3.2.1/setup/network").status == 200)
        box.monitor("set_link net on")
        wait("the cable to carry", 120, lambda: "10.0.2." in box.sh("ip -4 -o addr"), 1)
        check("the wizard goes on over the access point", air.curl("http://4.3.2.1/setup/venue").status == 200)
        check("and over the cable", wait("the page by cable", 60, lambda: box.call("GET", "/login", limit=10)[0] == 200))
        say("a cable plugged in in the middle: it wins, and the phone's wizard goes on")
        box.shut_down()


def portal(lab: Lab) -> None:
    """a venue's Wi-Fi with a page of its own to sign in on: the phone reaches it through the box, and the box is let in"""
    card = lab.card(lab.image("one", "1.0"), "phone-portal")
    with lab.machine(card) as box:
        air = Air(box)
        name = begins(box, air, "Hotel")
        # A SIMULATED portal: all names lead to it, and what NetworkManager looks for is not what it finds there.
        page = "mkdir -p /run/air/www && cd /run/air/www && echo '<h1>Welcome, guest</h1>' >index.html && cp index.html check_network_status.txt"
        air.in_venue(f"{page} && busybox httpd -p 192.168.77.1:80 -h /run/air/www")
        air.join(name)
        claimed(box, air)
        joins(air, "Hotel")
        began = time.monotonic()
        wait("the access point beside the hotel's Wi-Fi", JOINED, lambda: "type AP" in box.sh("iw dev ap0 info 2>&1"), 1)
        say(f"behind a sign-in page: the box's own Wi-Fi is beside it {time.monotonic() - began:.0f} s after the form")
        wait("the phone to be back", 180, lambda: rejoined(air, name), 1)
        host = "captive.apple.com"
        wait("names to be the hotel's", 60, lambda: "192.168.77.1" in air.asks(host).partition(host)[2], 2)
        answer = wait("the hotel's page", 60, lambda: (a := air.curl(f"http://{host}/", address="192.168.77.1")).status == 200 and a)
        check("the phone's own sheet shows the hotel's page", "Welcome, guest" in answer.body, answer)
        said = network(air)
        check("the box says what is in the way", said["internet"] == "portal", said)
        began = time.monotonic()
        air.in_venue("echo 'NetworkManager is online' >/run/air/www/check_network_status.txt")
        wait("the box to see that it was let in", 60, lambda: network(air)["internet"] == "full", 1)
        say(f"signed in on the phone: the box sees that it was let in after {time.monotonic() - began:.0f} s")
        wait("the way through to be closed", 60, lambda: "portal no" in box.sh("cat /run/motherstream-network/applied"), 1)
        box.shut_down()


def show(lab: Lab) -> None:
    """a show over Wi-Fi whose line has a hole and whose router restarts: the programme is never late, who streams over the box's Wi-Fi stays"""
    card = lab.card(lab.image("one", "1.0"), "phone-show")
    roads = Roads()
    with lab.machine(card) as box, Platform(roads.platform, card.parent) as platform:
        box.more = roads.qemu
        air = Air(box)
        name = begins(box, air, *VENUE)
        roads.open(box)
        air.join(name)
        claimed(box, air)
        joins(air, *VENUE)
        in_venue(box, air, VENUE[0])

        def asks(path: str, method: str = "GET", body: object = None) -> dict:
            """The API, asked from the box itself: whatever happens to its networks."""
            answer = air.curl(f"http://127.0.0.1{path}", inside=True, method=method, body=None if body is None else json.dumps(body), limit=50)
            check(f"{method} {path} is answered", 200 <= answer.status < 300, answer)
            return json.loads(answer.body or "null")

        air.cookies.clear()
        asks("/api/v1/session", "POST", {"name": "Stage", "password": PASSWORD})
        asks("/api/v1/settings", "PATCH", {"network.hotspot": "always"})
        key = asks("/api/v1/accounts", "POST", {"name": "Ada", "password": PASSWORD})["stream_key"]
        asks("/api/v1/destinations", "POST", {"name": "Platform", "url": "rtmp://192.168.77.1/live", "key": "key"})
        wait("the streamers' Wi-Fi beside the venue's", JOINED, lambda: "type AP" in box.sh("iw dev ap0 info 2>&1"), 1)
        guests = box.sh("cat /data/motherstream/network-password")
        wait("the phone on it", 180, lambda: rejoined(air, name, guests), 1)
        asks("/api/v1/show", "PUT", {"on": True})
        with Publisher(box, key, 440, roads.encoder) as encoder:
            wait("Ada on air, over the box's Wi-Fi", 120, lambda: (turn := asks("/api/v1/queue")["on_air"]) and turn["entry"]["name"] == "Ada" and not turn["suspended"], 2)
            wait("the platform to have the programme", 120, lambda: platform.recording(1).exists() and platform.recording(1).stat().st_size > 200_000, 1)
            time.sleep(15)
            began, before, connected = time.monotonic(), asks("/api/v1/status")["program"], encoder.began
            # What a destination bears: its patience is 5 s.
            roads.hole(box, 3)
            time.sleep(15)
            check("a hole of 3 s in the venue's line ends no session", platform.sessions == 0, platform.sessions)
            air.router_off()
            time.sleep(20)
            up = box.sh("iw dev ap0 info 2>&1")
            air.router(*VENUE)
            check("the streamers' Wi-Fi stays up", "type AP" in up, up)
            wait("the box back in the venue's network", 400, lambda: re.search(r"192\.168\.77\.\d+", box.sh("ip -4 -o addr show wlan0")), 1)
            back = time.monotonic()
            wait("the platform to have the programme again", 120, lambda: platform.sessions == 1 and platform.recording(2).exists() and platform.recording(2).stat().st_size > 50_000, 0.5)
            again = time.monotonic() - back
            time.sleep(20)
            lasted, after = time.monotonic() - began, asks("/api/v1/status")["program"]
            turn = asks("/api/v1/queue")["on_air"]
            check("Ada is on air still", turn and turn["entry"]["name"] == "Ada" and not turn["suspended"], turn)
            check("her encoder has never connected again", encoder.began == connected, encoder.began)
        late = lasted - (after["time_ms"] - before["time_ms"]) / 1000
        say(f"the router was away for 20 s and the programme went on, {late:+.1f} s beside the clock after {lasted:.0f} s; the platform had it again {again:.0f} s after the box was back")
        check("the programme is never late", abs(late) < 3, late)
        asks("/api/v1/show", "PUT", {"on": False})
        box.shut_down()
    step, length = platform.longest_step(1)
    say(f"a hole of 3 s in the venue's line: one session, which lasted {length:.0f} s, longest step between two pictures {step:.2f} s")
    check("no hole in it", length > 25 and step < 1, (length, step))
    check("the router's restart began one more, and no third", platform.sessions == 2 and platform.recording(2).stat().st_size > 100_000, platform.sessions)


def by_hand(lab: Lab) -> None:
    """the same by hand, with nmcli, as somebody does who knows how: what the seconds of `phone` are next to"""
    card = lab.card(lab.image("one", "1.0"), "phone-by-hand")
    with lab.machine(card) as box:
        # With its cable, so that the box keeps its own Wi-Fi down.
        box.start()
        box.wait_page()
        box.wait_agent()
        air = Air(box)
        air.open(*VENUE)
        wait("a radio", 60, lambda: "wlan0" in box.sh("nmcli -g DEVICE device"), 1)
        began = time.monotonic()
        box.sh("nmcli device wifi hotspot ifname wlan0 ssid Motherstream-hand password 'by hand 123'", 60, ok=True)
        air.own_name()
        seen = time.monotonic() - began
        began = time.monotonic()
        air.join("Motherstream-hand", "by hand 123")
        joined = time.monotonic() - began
        began = time.monotonic()
        box.sh(f"nmcli device disconnect wlan0; nmcli device wifi rescan ifname wlan0; sleep 4; nmcli --wait 90 device wifi connect '{VENUE[0]}' password '{VENUE[1]}' ifname wlan0", 120, ok=True)
        wait("an address", 60, lambda: re.search(r"192\.168\.77\.\d+", box.sh("ip -4 -o addr show wlan0")), 0.5)
        say(f"with nmcli: access point seen after {seen:.0f} s, phone on it after {joined:.0f} s, venue's network joined after {time.monotonic() - began:.0f} s")
        box.shut_down()


cases.CASES.update({"phone": setup, "phone-rough": rough, "phone-portal": portal, "phone-show": show, "phone-by-hand": by_hand})
