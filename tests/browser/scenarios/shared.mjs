// One browser with the crew's page and many others of the box, as an OBS has docks and overlays: all are alive, an order acts at once, and
// nobody hears what is not for whoever is signed in.
import { assert, pause, until } from "../world.mjs";

/** Joins the shared worker as a page would, and keeps all it is told. */
const tap = (page, topic, account) =>
  page.evaluate(
    ([topic, account]) => {
      const { port } = new SharedWorker(document.documentElement.dataset.line, { name: "line" });
      const heard = (window.taps ??= []);
      port.onmessage = ({ data }) => heard.push(data);
      port.postMessage({ kind: "join", topic, account });
    },
    [topic, account],
  );

export default async function (world) {
  world.expect(/401/, /403/);
  await world.crew("Root", "admin");
  const key = await world.streamer("Ada");
  const admin = await world.visitor();
  await world.signIn(admin, "Root");
  await admin.goto("/admin");
  const windows = [];
  for (const path of ["/", "/queue-list", "/timer-page", "/now-page", "/now-page?size=60", "/queue-list?count=3", "/admin/destinations", "/me"]) {
    const page = await admin.context().newPage();
    await page.goto(path);
    windows.push(page);
  }
  const [room, list, , now] = windows;
  // Which of them hold a stream to the box, and how many browsers think they do: one.
  await pause(1000);
  const streams = () => world.requests.filter((url) => new URL(url).pathname.startsWith("/live/")).length;
  assert.equal(streams(), 0, "no page has a line of its own");

  await admin.bringToFront();
  const pressed = Date.now();
  await admin.getByRole("button", { name: /panic/i }).first().click();
  await until("the slate", async () => (await world.call("GET", "/api/v1/queue")).forced_slate, 2000);
  assert.ok(Date.now() - pressed < 2000, `panic took ${Date.now() - pressed} ms`);
  await admin.getByRole("button", { name: "Lift the slate" }).waitFor();
  await world.call("POST", "/api/v1/queue/slate", { on: false });
  assert.equal(await admin.locator("#lost").isVisible(), false);

  // Each hears of a change.
  world.publish("A", key);
  await now.getByText("Ada").first().waitFor({ timeout: 15000 });
  await list.getByText("Ada").first().waitFor();
  await room.getByRole("heading", { name: "Ada" }).waitFor();

  // Signed out in one window: the crew's pages lead to where one signs in, and overlays go on.
  const account = await admin.evaluate(() => document.documentElement.dataset.account);
  assert.ok(account);
  await room.bringToFront();
  await room.getByRole("button", { name: "Sign out" }).click();
  await room.waitForURL("**/*");
  await admin.bringToFront();
  await admin.waitForURL("**/login**", { timeout: 10000 });

  // Somebody else signs in, here. Whatever a page asks the worker for, only what is theirs comes.
  await world.streamer("Bob");
  await world.signIn(room, "Bob");
  await room.goto("/");
  const bob = await room.evaluate(() => document.documentElement.dataset.account);
  assert.ok(bob && bob !== account);
  for (const who of ["", account, bob]) for (const topic of ["admin", "admin/destinations", "admin/obs"]) await tap(room, topic, who);
  await tap(room, "me", account);
  await world.call("PUT", "/api/v1/block", { on: true });
  await pause(3000);
  const heard = await room.evaluate(() => window.taps);
  assert.deepEqual(heard.filter(({ kind }) => kind === "part"), [], "nothing comes that is not for Bob");
  assert.ok(heard.some(({ kind }) => kind === "refused"));
  const own = await room.context().newPage();
  await own.goto("/me");
  await tap(own, "me", bob);
  await until("what is Bob's own", () => own.evaluate(() => window.taps.some(({ kind, name }) => kind === "part" && name === "place")));
  assert.equal(await own.locator("#lost").isVisible(), false);
  await now.getByText("Ada").first().waitFor();
  assert.equal(await now.evaluate(() => document.documentElement.hasAttribute("data-lost")), false);
}
