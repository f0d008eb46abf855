// What scenarios share: the browser, pages that may talk to the box alone, encoders, judges of pages.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { createInterface } from "node:readline";
import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import axe from "axe-core";

export { assert };

export const env = (name) => {
  assert.ok(process.env[name], `${name} is set: these scenarios are started by the Rust tests`);
  return process.env[name];
};

/** By name, as people open it: unlike a loopback address that is no "secure context", so what only HTTPS allows is missing. */
const HOST = "motherstream.local";
const PROGRAMS = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** The smallest that a page is made for. */
export const SMALL = { width: 320, height: 568 };
export const PHONE = { width: 390, height: 844 };
export const DESK = { width: 1440, height: 900 };

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** Waits until `ready` gives something true. */
export async function until(what, ready, patience = 10000) {
  const deadline = Date.now() + patience;
  for (;;) {
    const found = await ready();
    if (found) return found;
    assert.ok(Date.now() < deadline, `waited ${patience} ms in vain for ${what}`);
    await pause(50);
  }
}

export class World {
  static async open(name) {
    const world = new World();
    world.name = name;
    world.url = `http://${HOST}:${env("BOX_PORT")}`;
    world.token = env("BOX_TOKEN");
    world.artefacts = env("ARTEFACTS");
    world.wrong = [];
    world.requests = [];
    /** What changes something. */
    world.sent = [];
    world.encoders = [];
    world.contexts = [];
    mkdirSync(world.artefacts, { recursive: true });
    // What failed another time says nothing about this one.
    const failed = readdirSync(world.artefacts).filter((file) => file.startsWith(`FAILED-${name}-`));
    for (const file of failed) rmSync(`${world.artefacts}/${file}`);
    const program = PROGRAMS.find((program) => program && existsSync(program));
    assert.ok(program, "Chromium is installed (scripts/install test), or CHROMIUM names one");
    world.browser = await chromium.launch({
      executablePath: program,
      args: [
        // Nobody else has an address.
        `--host-resolver-rules=MAP ${HOST} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`,
        "--autoplay-policy=no-user-gesture-required",
        "--disable-dev-shm-usage",
      ],
    });
    return world;
  }

  // ---- pages ------------------------------------------------------------------------------------------------------------

  /** A browser of its own: cookies, theme, size. Everything it asks for, and everything that goes wrong in it, is noted. */
  async visitor({ size = DESK, theme = "dark", script = true } = {}) {
    const context = await this.browser.newContext({
      baseURL: this.url,
      viewport: size,
      colorScheme: theme,
      javaScriptEnabled: script,
      hasTouch: size.width < 600,
      isMobile: size.width < 600,
      reducedMotion: "reduce",
    });
    // A wait, not a promise: a busy machine draws seldom, and clicks wait for two pictures alike.
    context.setDefaultTimeout(30000);
    this.contexts.push(context);
    context.on("request", (request) => this.#look(request));
    context.on("weberror", (error) => this.wrong.push(`uncaught in a page: ${error.error()?.stack ?? error.error()}`));
    context.on("console", (message) => {
      // On a busy machine a thumbnail may not be there yet: it gives way to everything, and the page asks again.
      const unseen = /404 \(Not Found/.test(message.text()) && new URL(message.location().url, this.url).pathname.startsWith("/picture/");
      if (message.type() === "error" && !unseen && !this.#expected(message.text())) {
        this.wrong.push(`console of ${message.page()?.url()}: ${message.text()}`);
      }
    });
    return context.newPage();
  }

  #look(request) {
    const url = request.url();
    if (request.method() !== "GET") this.sent.push(`${request.method()} ${new URL(url).pathname}`);
    this.requests.push(url);
    if (/^(data|blob|about):/.test(url)) return;
    if (new URL(url).origin !== this.url) this.wrong.push(`a request leaves the box: ${url}`);
  }

  /** Lines of the console that a scenario provokes: a refused form, a box that is gone. */
  expect(...patterns) {
    this.patterns = [...(this.patterns ?? []), ...patterns];
  }

  #expected(text) {
    return (this.patterns ?? []).some((pattern) => pattern.test(text));
  }

  /** Fails if anything went wrong that no scenario looked at: requests to others, uncaught errors, a broken policy. */
  judge() {
    assert.deepEqual([...new Set(this.wrong)], []);
    assert.ok(this.requests.length > 0);
  }

  confess() {
    for (const wrong of new Set(this.wrong)) console.log(`  besides: ${wrong}`);
  }

  /** A picture of every page as it was when the scenario failed. */
  async last() {
    let number = 0;
    for (const page of this.contexts.flatMap((context) => context.pages())) {
      number += 1;
      await page.screenshot({ path: `${this.artefacts}/FAILED-${this.name}-${number}.png` }).catch(() => {});
      console.log(`  page ${number}: ${page.url()}`);
    }
  }

  async close() {
    for (const encoder of this.encoders) encoder.kill("SIGKILL");
    await this.browser.close().catch(() => {});
  }

  // ---- the box ----------------------------------------------------------------------------------------------------------

  /** One call of the API with the admin's token, not from a page. */
  async call(method, path, body) {
    const answer = await fetch(`http://127.0.0.1:${env("BOX_PORT")}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.token}`, ...(body ? { "content-type": "application/json" } : {}) },
      body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  /** Makes an account by the API; gives its stream key. The password is the one of `signIn`. */
  async streamer(name) {
    const made = await this.call("POST", "/api/v1/accounts", { name, password: `${name}-password` });
    return made.stream_key;
  }

  /** Makes an account that runs the night, as `admin` or `operator`. */
  async crew(name, role) {
    const { id } = await this.call("POST", "/api/v1/accounts", { name, password: `${name}-password` });
    await this.call("PATCH", `/api/v1/accounts/${id}`, { role });
  }

  /** Who is on air. */
  async onAir() {
    const { on_air } = await this.call("GET", "/api/v1/queue");
    return on_air && !on_air.suspended ? on_air.entry.name : undefined;
  }

  /** Asks the test that started this for something only it can do: `kill` or `boot` the box. */
  async ask(order) {
    this.answers ??= createInterface({ input: process.stdin })[Symbol.asyncIterator]();
    console.log(`@${order}`);
    const { value } = await this.answers.next();
    assert.equal(value, "done");
  }

  /** ffmpeg publishes an asset (`A` or `B`) with a key, in real time. */
  publish(asset, key) {
    return this.encode(asset, `rtmp://${env("BOX_RTMP")}/live/${key}`);
  }

  encode(asset, url) {
    const source = ["-re", "-stream_loop", "-1", "-i", env(`ASSET_${asset}`)];
    const encoder = spawn("ffmpeg", ["-nostdin", "-v", "error", ...source, "-c", "copy", "-f", "flv", url], { stdio: "ignore" });
    this.encoders.push(encoder);
    return encoder;
  }

  /** Fills the form of /login in. */
  async signIn(page, name, password = `${name}-password`) {
    await page.goto("/login");
    await page.getByLabel("Your name").fill(name);
    await page.getByLabel("Password", { exact: true }).fill(password);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL((url) => url.pathname !== "/login");
  }

  // ---- judges -----------------------------------------------------------------------------------------------------------

  /** Everything that is asked of a page as it stands: pictures at two widths in both themes, no violation of accessibility, nothing
   *  wider than the screen, reachable by keyboard. */
  async examine(page, name, { keyboard = true, sizes = [PHONE, DESK] } = {}) {
    const size = page.viewportSize();
    for (const theme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
      for (const width of sizes) {
        await page.setViewportSize(width);
        await pause(60);
        await page.screenshot({ path: `${this.artefacts}/${name}-${width.width}-${theme}.png`, fullPage: true });
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        assert.ok(wide <= 0, `${name} is ${wide} pixels wider than a screen of ${width.width}`);
        await this.accessible(page, `${name} at ${width.width}, ${theme}`);
      }
    }
    if (keyboard) await this.#keyboard(page, name);
    await page.setViewportSize(size);
  }

  /** axe-core finds nothing. */
  async accessible(page, name) {
    if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe.source);
    const violations = await page.evaluate(async () => {
      const found = await window.axe.run(document, { resultTypes: ["violations"] });
      return found.violations.map(({ id, help, nodes }) => ({
        id,
        help,
        nodes: nodes.slice(0, 4).map(({ html, failureSummary }) => `${html.slice(0, 200)} ${failureSummary}`),
      }));
    });
    assert.deepEqual(violations, [], `axe-core about ${name}`);
  }

  /** Tab reaches everything that can be used, in the order of the page, and shows where it is. */
  async #keyboard(page, name) {
    const wanted = await page.evaluate(() => {
      const usable = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]:not([tabindex='-1'])";
      const seen = [...document.querySelectorAll(usable)].filter(
        (element) =>
          !element.disabled &&
          element.tabIndex >= 0 &&
          element.checkVisibility({ visibilityProperty: true }) &&
          // One radio button of a group stands for all.
          !(element.type === "radio" && !element.checked && document.querySelector(`input[name="${CSS.escape(element.name)}"]:checked`)),
      );
      // From the page's beginning, wherever somebody has clicked before.
      window.scrollTo(0, 0);
      window.getSelection()?.removeAllRanges();
      document.body.tabIndex = -1;
      document.body.focus();
      document.body.removeAttribute("tabindex");
      // By identity and not by a mark on them: a live part keeps its elements and takes away what it does not know of.
      window.tabStops = seen;
      return seen.map((element) => element.outerHTML.slice(0, 120));
    });
    const reached = [];
    const unseen = [];
    for (let press = 0; press < wanted.length + 8; press += 1) {
      await page.keyboard.press("Tab");
      const stop = await page.evaluate(() => {
        const element = document.activeElement;
        if (!element || element === document.body) return null;
        const style = getComputedStyle(element);
        const shown = (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none";
        const alike = (other) => other === element || (other.id !== "" && other.id === element.id);
        return { index: window.tabStops.findIndex(alike), shown, html: element.outerHTML.slice(0, 120) };
      });
      if (!stop) continue;
      if (!stop.shown) unseen.push(stop.html);
      if (stop.index >= 0 && !reached.includes(stop.index)) reached.push(stop.index);
      if (reached.length === wanted.length) break;
    }
    const missed = wanted.filter((_, index) => !reached.includes(index));
    assert.deepEqual(missed, [], `${name}: Tab reaches everything`);
    assert.deepEqual([...new Set(unseen)], [], `${name}: the focus is to be seen`);
    assert.deepEqual(reached, [...reached].sort((a, b) => a - b), `${name}: Tab goes in the order of the page`);
  }
}
