// On a phone: register, find the server and the key, stream, see oneself go on air, and leave.
import { assert, PHONE, until } from "../world.mjs";

export default async function (world) {
  const page = await world.visitor({ size: PHONE });
  world.expect(/422 \(Unprocessable/, /409 \(Conflict/);
  await page.goto("/");
  await page.getByText("The stage is free.").waitFor();
  await world.examine(page, "room-free");
  await page.getByRole("link", { name: "Take the stage" }).click();
  await world.examine(page, "register");
  // A name that is taken is told at the field, and what was typed stays.
  await world.streamer("Grace");
  const register = async (name) => {
    await page.getByLabel("Your name").fill(name);
    await page.getByLabel("Password", { exact: true }).fill(`${name}-password`);
    await page.getByRole("button", { name: "Join", exact: true }).click();
  };
  await register("Grace");
  await page.getByRole("alert").filter({ hasText: /taken|name/i }).first().waitFor();
  assert.equal(await page.getByLabel("Your name").getAttribute("aria-invalid"), "true");
  await world.examine(page, "register-taken");
  await register("Ada");
  await page.waitForURL("**/me");
  await page.getByText("Welcome, Ada").waitFor();

  // The key is not to be seen until asked for, and can be copied without being seen.
  const key = page.locator("#key");
  assert.equal(await key.isVisible(), false, "the key is hidden");
  const secret = (await key.textContent()).trim();
  const server = (await page.locator("#server").textContent()).trim();
  assert.match(server, /^rtmp:\/\/motherstream\.local(:\d+)?\/live$/);
  // On plain HTTP there is no navigator.clipboard; what lands in a field by pasting is what was copied.
  assert.equal(await page.evaluate(() => window.isSecureContext), false);
  const pasted = async (button) => {
    await button.click();
    await button.getByText("Copied").waitFor();
    await page.evaluate(() => {
      const field = document.createElement("textarea");
      field.id = "paste-here";
      document.body.append(field);
      field.focus();
    });
    await page.keyboard.press("Control+V");
    const text = await page.locator("#paste-here").inputValue();
    await page.evaluate(() => document.getElementById("paste-here").remove());
    return text;
  };
  assert.equal(await pasted(page.locator("[data-copy='#key']")), secret);
  assert.equal(await pasted(page.locator("[data-copy='#server']")), server);
  await page.getByText("Show the key").click();
  assert.equal(await key.isVisible(), true);
  await world.examine(page, "me-idle");

  // What the page says is put into the encoder as it stands, but for the name, which only this browser can look up.
  const watcher = await world.visitor();
  await watcher.goto("/");
  const began = Date.now();
  const encoder = world.encode("A", `${server.replace("motherstream.local", "127.0.0.1")}/${secret}`);
  const place = page.getByRole("region", { name: "Your place" });
  await place.getByText("On air").waitFor({ timeout: 15000 });
  console.log(`  on air on one's own page ${Date.now() - began} ms after ffmpeg was started`);
  await watcher.getByRole("heading", { name: "Ada" }).waitFor();
  const health = page.getByRole("region", { name: "Your stream" });
  await health.getByText("640 × 360").waitFor({ timeout: 15000 });
  await world.examine(page, "me-on-air");
  await world.examine(watcher, "room-on-air");

  // The clock runs without anything being sent.
  const clock = watcher.getByRole("timer");
  const shown = await clock.textContent();
  await until("the clock to tick", async () => (await clock.textContent()) !== shown, 3000);

  await page.getByRole("button", { name: "End my turn" }).click();
  await watcher.getByText("The stage is free.").waitFor();
  await page.getByText("You left the queue. To come back").waitFor();
  encoder.kill("SIGKILL");

  // A fresh key: the old one is dead.
  await page.getByText("A fresh key", { exact: true }).click();
  await page.getByRole("button", { name: "Make a fresh key" }).click();
  await page.getByText("You have a fresh key").waitFor();
  assert.notEqual((await page.locator("#key").textContent()).trim(), secret);
  const refused = world.publish("A", secret);
  await new Promise((done) => refused.once("exit", done));
  assert.equal(await world.onAir(), undefined);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByText("You are signed out").waitFor();
  await page.goto("/me");
  assert.equal(new URL(page.url()).pathname, "/login");
  await world.examine(page, "login");
}
