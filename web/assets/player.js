// Pictures: thumbnails that stay fresh, and the programme to watch. Both are made by the box only while somebody looks, so a page
// that is not seen asks for nothing. `parts/player.html` is what a player is made of.
"use strict";
(() => {
  const find = (selector, within = document) => [...within.querySelectorAll(selector)];

  // ---- thumbnails ---------------------------------------------------------------------------------------------------------
  // <img data-picture="/picture/...jpg"> is asked for every 2 s while it is in view. What has not changed is not sent again.
  const REFRESH = 2000;
  const known = new WeakMap();
  const inView = (image) => {
    const box = image.getBoundingClientRect();
    return box.width > 0 && box.height > 0 && box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth;
  };
  const asData = (blob) =>
    new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result);
      reader.onerror = reject;
      reader.readAsDataURL(blob);
    });
  const refresh = async (image) => {
    const url = image.dataset.picture;
    let held = known.get(image);
    if (!held || held.url !== url) {
      held = { url, tag: "", until: 0, busy: false };
      known.set(image, held);
    }
    if (held.busy || performance.now() < held.until) return;
    held.busy = true;
    try {
      const answer = await fetch(url, { cache: "no-cache", signal: AbortSignal.timeout ? AbortSignal.timeout(8000) : undefined });
      if (answer.ok) {
        const tag = answer.headers.get("etag") || "";
        if (!tag || tag !== held.tag || image.dataset.missing !== undefined) {
          const data = await asData(await answer.blob());
          if (image.dataset.picture === url) image.src = data;
          held.tag = tag;
        }
        delete image.dataset.missing;
      } else {
        image.dataset.missing = "";
        // Not for these eyes: that changes rarely.
        if (answer.status === 401 || answer.status === 403) held.until = performance.now() + 60000;
      }
    } catch {
      // The box is away; what was shown last stays.
    }
    held.busy = false;
  };
  const look = () => {
    if (document.hidden) return;
    for (const image of find("img[data-picture]")) if (inView(image)) refresh(image);
  };
  // A picture that is not there is an empty place, not a broken one.
  document.addEventListener("error", (event) => event.target.matches?.("img[data-picture]") && (event.target.dataset.missing = ""), true);
  setInterval(look, REFRESH);

  // ---- the programme ------------------------------------------------------------------------------------------------------
  // Safari plays HLS by itself, iPhones nothing else; others get hls.js, which is fetched when somebody presses play.
  const plays = document.createElement("video").canPlayType("application/vnd.apple.mpegurl") !== "";
  const native = plays && (/apple/i.test(navigator.vendor) || !("MediaSource" in window));
  let library;
  const fetchLibrary = (url) => {
    library ||= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = url;
      script.onload = () => resolve(window.Hls);
      script.onerror = () => {
        library = undefined;
        script.remove();
        reject(new Error("the player cannot be fetched"));
      };
      document.head.append(script);
    });
    return library;
  };

  // Key frames come every 8 s where streamers leave their encoder as it was: less than that is no stall.
  const STALL = 12000;
  const FIRST = 20000;
  const HIDDEN = 15000;

  class Player {
    constructor(root) {
      this.root = root;
      this.video = root.querySelector("video");
      this.note = root.querySelector("[data-note]");
      this.tries = 0;
      this.state("idle");
      this.video.muted = true;
      this.video.addEventListener("playing", () => {
        this.tries = 0;
        this.advanced();
        this.state("playing");
        this.say("");
      });
      this.video.addEventListener("volumechange", () => this.sounds());
      // Native players say so; hls.js has its own words.
      this.video.addEventListener("error", () => this.wanted && !this.hls && this.again());
      this.video.addEventListener("ended", () => this.wanted && this.again());
      this.sounds();
    }
    state(state) {
      this.root.dataset.state = state;
      const button = this.root.querySelector("[data-play]");
      const word = state === "idle" ? "Play" : "Stop";
      button.querySelector("[data-label]").textContent = word;
      button.title = word;
      for (const other of find("[data-sound], [data-full]", this.root)) other.hidden = state === "idle";
    }
    say(text) {
      if (this.note && this.note.textContent !== text) this.note.textContent = text;
    }
    sounds() {
      const button = this.root.querySelector("[data-sound]");
      if (!button) return;
      const word = this.video.muted ? "Sound on" : "Sound off";
      button.querySelector("[data-label]").textContent = word;
      button.title = word;
      this.root.toggleAttribute("data-muted", this.video.muted);
    }
    advanced() {
      this.at = this.video.currentTime;
      this.since = performance.now();
    }
    play() {
      this.wanted = true;
      this.tries = 0;
      this.start();
      this.watch ||= setInterval(() => this.check(), 1000);
    }
    stop() {
      this.wanted = false;
      clearInterval(this.watch);
      this.watch = 0;
      this.end();
      this.state("idle");
      this.say("");
    }
    end() {
      clearTimeout(this.next);
      clearTimeout(this.rest);
      this.hls?.destroy();
      this.hls = undefined;
      this.run = undefined;
      if (this.video.hasAttribute("src")) {
        this.video.removeAttribute("src");
        this.video.load();
      }
    }
    async start() {
      this.end();
      const run = (this.run = {});
      this.state("loading");
      this.advanced();
      this.begun = performance.now();
      const url = this.root.dataset.player;
      if (native) {
        this.video.src = url;
      } else {
        let Hls;
        try {
          Hls = await fetchLibrary(this.root.dataset.library);
        } catch {
          if (this.run === run) this.again();
          return;
        }
        // Stopped, or begun anew, meanwhile.
        if (this.run !== run) return;
        if (!Hls || !Hls.isSupported()) {
          this.stop();
          this.say("This browser cannot play the programme.");
          return;
        }
        this.hls = new Hls({
          enableWorker: false,
          // Asks once for the next segment, and is answered when it is there.
          lowLatencyMode: true,
          liveSyncDurationCount: 1,
          liveMaxLatencyDurationCount: 3,
          maxLiveSyncPlaybackRate: 1.05,
          maxBufferLength: 20,
          backBufferLength: 10,
        });
        this.hls.on(Hls.Events.ERROR, (_, error) => {
          if (!error.fatal || this.run !== run) return;
          const status = error.response?.code;
          if (status === 401 || status === 403) {
            this.stop();
            this.say("Watching is not open to you any more. Sign in and try again.");
          } else if (error.type === Hls.ErrorTypes.MEDIA_ERROR && !run.recovered) {
            run.recovered = true;
            this.hls.recoverMediaError();
          } else {
            this.again();
          }
        });
        // As far behind as one and a half of the segments there are; the target duration is what they may come to at most.
        let behind = 0;
        this.hls.on(Hls.Events.LEVEL_UPDATED, (_, { details }) => {
          const wanted = Math.round(15 * Math.max(...details.fragments.map((fragment) => fragment.duration))) / 10;
          if (this.run === run && wanted > 0 && wanted !== behind) this.hls.targetLatency = behind = wanted;
        });
        this.hls.loadSource(url);
        this.hls.attachMedia(this.video);
      }
      this.video.play().catch(() => {});
    }
    again() {
      this.end();
      this.state("lost");
      this.say("Reconnecting…");
      const wait = Math.min(5000, 1000 * 2 ** this.tries);
      this.tries += 1;
      this.next = setTimeout(() => this.wanted && this.start(), wait);
    }
    check() {
      // Taken off the page by a live part.
      if (!this.root.isConnected) this.stop();
      if (!this.wanted || !this.run || document.hidden) return;
      if (this.video.currentTime !== this.at) {
        this.advanced();
        return;
      }
      const now = performance.now();
      if (this.video.paused && this.video.readyState >= 3) {
        // A phone that saves power, or a call.
        this.video.play().catch(() => {});
      }
      if (now - this.since > STALL && now - this.begun > FIRST) this.again();
    }
    // Nobody sees or hears it: the box need not make it.
    hidden(hidden) {
      clearTimeout(this.rest);
      if (!this.wanted) return;
      if (hidden && this.video.muted) {
        this.rest = setTimeout(() => {
          this.end();
          this.state("loading");
        }, HIDDEN);
      } else if (!hidden) {
        this.advanced();
        if (!this.run) this.start();
      }
    }
  }

  const players = new Map();
  const playerOf = (element) => {
    const root = element.closest("[data-player]");
    if (!root) return undefined;
    for (const old of players.keys()) if (!old.isConnected) players.delete(old);
    if (!players.has(root)) players.set(root, new Player(root));
    return players.get(root);
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-play], [data-sound], [data-full]");
    const player = button && playerOf(button);
    if (!player) return;
    if (button.matches("[data-play]")) {
      if (player.wanted) player.stop();
      else player.play();
    } else if (button.matches("[data-sound]")) {
      player.video.muted = !player.video.muted;
    } else if (document.fullscreenElement) {
      document.exitFullscreen();
    } else if (player.root.requestFullscreen) {
      player.root.requestFullscreen().catch(() => {});
    } else {
      player.video.webkitEnterFullscreen?.();
    }
  });
  document.addEventListener("visibilitychange", () => {
    for (const player of players.values()) player.hidden(document.hidden);
    look();
  });
  look();
})();
