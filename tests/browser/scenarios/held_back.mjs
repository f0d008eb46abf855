// Something between the browser and the box keeps live updates back, or the box is not there yet: pages say so, ask instead, and find the
// line as soon as there is one. The proxy is simulated: it gathers what has no end, and passes everything else on.
import http from "node:http";
import { assert, env, until } from "../world.mjs";

class Proxy {
  static async start() {
    const proxy = new Proxy();
    proxy.gathers = true;
    /** Whether anything but pages and what they load comes through. */
    proxy.awake = true;
    proxy.open = new Set();
    proxy.asked = [];
    proxy.server = http.createServer((request, answer) => proxy.#pass(request, answer));
    await new Promise((done) => proxy.server.listen(0, "127.0.0.1", done));
    proxy.port = proxy.server.address().port;
    return proxy;
  }

  #pass(request, answer) {
    this.asked.push(request.url);
    const live = request.url.startsWith("/live") || request.url.endsWith("/line.js");
    if (live && !this.awake) return request.socket.destroy();
    const { method, url, headers } = request;
    const onward = http.request({ host: "127.0.0.1", port: env("BOX_PORT"), method, path: url, headers }, (told) => {
      if (this.gathers && told.headers["content-type"] === "text/event-stream" && !told.headers["content-length"]) {
        this.open.add(request.socket);
        told.resume();
        return;
      }
      answer.writeHead(told.statusCode, told.headers);
      told.pipe(answer);
    });
    onward.on("error", () => answer.destroy());
    answer.on("close", () => onward.destroy());
    request.pipe(onward);
  }
}

export default async function (world) {
  const key = await world.streamer("Ada");
  await world.crew("Root", "admin");
  world.expect(/ERR_/, /50\d/);
  const proxy = await Proxy.start();
  world.url = `http://motherstream.local:${proxy.port}`;

  const admin = await world.visitor();
  await world.signIn(admin, "Root");
  const overlay = await admin.context().newPage();
  await overlay.goto("/now-page");
  await admin.bringToFront();
  await admin.goto("/admin");
  const opened = Date.now();
  await admin.locator("#lost").waitFor({ timeout: 8000 });
  assert.ok(Date.now() - opened > 3000, "a moment without is no loss");
  await admin.getByText("Live updates do not come through").waitFor({ timeout: 8000 });
  // Orders go through, and what follows from them is shown.
  await admin.getByRole("button", { name: /panic/i }).first().click();
  await until("the slate", async () => (await world.call("GET", "/api/v1/queue")).forced_slate, 2000);
  await admin.locator("#panic-form input[name=on][value=false]").waitFor({ state: "attached", timeout: 8000 });
  await world.call("POST", "/api/v1/queue/slate", { on: false });
  world.publish("A", key);
  await overlay.getByText("Ada").first().waitFor({ timeout: 20000 });
  // A question whose answer is the same is answered with nothing.
  const questions = proxy.asked.filter((url) => url.startsWith("/live/now")).length;
  assert.ok(questions > 2 && questions < 30, `${questions} questions`);
  proxy.gathers = false;
  await until("the line", async () => !(await admin.locator("#lost").isVisible()), 30000);

  // The box is not there yet when an overlay begins: neither worker nor line nor answers.
  proxy.awake = false;
  const early = await world.visitor();
  await early.goto("/now-page");
  await early.evaluate(() => (window.notReloaded = true));
  await until("the overlay to know", () => early.evaluate(() => document.documentElement.hasAttribute("data-lost")), 10000);
  await early.evaluate(() => (document.querySelector("main").textContent = "what was"));
  proxy.awake = true;
  await early.getByText("Ada").first().waitFor({ timeout: 12000 });
  await until("the line", () => early.evaluate(() => !document.documentElement.hasAttribute("data-lost")), 12000);
  assert.equal(await early.evaluate(() => window.notReloaded), true);
}
