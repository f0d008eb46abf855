// The tab of the venue's OBS with a real one: connected, set up by one button, the mapping chosen from its own lists.
import { assert, DESK, until } from "../world.mjs";

export default async function (world) {
  await world.crew("Olga", "admin");
  const page = await world.visitor({ size: DESK });
  await world.signIn(page, "Olga");
  await page.goto("/admin/obs");
  await page.getByLabel("Where OBS runs").fill("127.0.0.1");
  await page.getByLabel("Server port").fill(process.env.OBS_TEST_PORT);
  const password = page.getByLabel("Server password");
  await password.fill("none of this OBS");
  await page.getByRole("button", { name: "Test connection" }).click();
  await page.getByRole("alert").getByText("OBS refuses the password").waitFor();
  await password.fill(process.env.OBS_TEST_PASSWORD);
  await page.getByRole("button", { name: "Test connection" }).click();
  await page.getByText("answers there, and takes the password").waitFor();
  await password.fill(process.env.OBS_TEST_PASSWORD);
  await page.getByRole("button", { name: "Save the connection" }).click();
  await page.locator("#now").getByText("Connected", { exact: true }).waitFor();

  const now = page.locator("#now");
  await now.getByRole("button", { name: "Set it up for me" }).click();
  await page.getByText("Made in OBS: Motherstream - On air").waitFor({ timeout: 15000 });
  await page.getByText("The settings below use it.").waitFor();
  const scene = page.getByLabel("While somebody is on air", { exact: true });
  assert.equal(await scene.inputValue(), "Motherstream - On air");
  assert.equal(await page.getByLabel("Media source").inputValue(), "Motherstream - Programme");
  // OBS shows the scene that it was started with.
  await now.getByText("it is left alone").waitFor();
  await world.examine(page, "obs-connected", { keyboard: false });
  const viewers = await world.call("GET", "/api/v1/viewers");
  assert.deepEqual(viewers.map((viewer) => viewer.label), ["OBS"]);

  // A second time makes nothing, and no token either.
  await now.getByRole("button", { name: "Set it up for me" }).click();
  await page.getByText("Everything was there already").waitFor({ timeout: 15000 });
  assert.equal((await world.call("GET", "/api/v1/viewers")).length, 1);

  // From OBS's own lists; what is not there any more is marked and stays until somebody chooses.
  await world.call("PATCH", "/api/v1/settings", { "obs.scene_slate": "Gone", "obs.show_next": ["Lost"] });
  await page.goto("/admin/obs");
  const slate = page.getByLabel("While nobody is on air", { exact: true });
  assert.equal(await slate.inputValue(), "Gone");
  await page.getByText("Gone (not in OBS)").waitFor({ state: "attached" });
  await page.getByText("not among OBS's inputs").waitFor();
  await slate.selectOption("Motherstream - Slate");
  const shown = page.getByRole("group", { name: "Shown only while somebody is next" });
  await shown.getByLabel("Lost").uncheck();
  await shown.getByRole("checkbox").last().check();
  await page.getByRole("button", { name: "Save what OBS does" }).click();
  await page.getByText("OBS follows it from now on").waitFor();
  const { mapping } = await world.call("GET", "/api/v1/obs/status");
  assert.equal(mapping.scene_slate, "Motherstream - Slate");
  assert.equal(mapping.show_next.length, 1);
  assert.notEqual(mapping.show_next[0], "Lost");

  // A source of OBS is given the programme anew, with another token.
  await page.getByRole("button", { name: "Play the programme here" }).click();
  await page.getByText("plays the programme.", { exact: false }).first().waitFor();
  await until("another token", async () => (await world.call("GET", "/api/v1/viewers")).length === 2);
  assert.ok(!(await page.content()).includes("token="), "no address with a token on the page");
  assert.ok(!JSON.stringify(await world.call("GET", "/api/v1/audit")).includes("token="), "nor in the audit log");
}
