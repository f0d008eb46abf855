// The tab of the venue's OBS where no OBS is: the connection is tried and saved, names are typed, and the page follows by itself.
import { assert, DESK, until } from "../world.mjs";

export default async function (world) {
  await world.crew("Olga", "admin");
  await world.crew("Otto", "operator");
  const page = await world.visitor({ size: DESK });
  await world.signIn(page, "Olga");
  await page.goto("/admin");
  await page.getByRole("link", { name: "OBS", exact: true }).click();
  await page.getByText("Not set up").waitFor();
  await world.examine(page, "obs-off");

  // Tried, and nothing is saved; what was written stays, but for the password.
  const port = process.env.NOBODY;
  await page.getByLabel("Where OBS runs").fill("127.0.0.1");
  await page.getByLabel("Server port").fill(port);
  await page.getByLabel("Server password").fill("hush-hush-password");
  await page.getByRole("button", { name: "Test connection" }).click();
  await page.getByRole("alert").getByText("Nothing answers there").waitFor();
  assert.equal(await page.getByLabel("Where OBS runs").inputValue(), "127.0.0.1");
  assert.equal((await world.call("GET", "/api/v1/obs/status")).link.state, "off");
  await world.examine(page, "obs-tried");

  // Something that listens and is no OBS is told apart: the box itself.
  await page.getByLabel("Server port").fill(process.env.BOX_PORT);
  await page.getByRole("button", { name: "Test connection" }).click();
  await page.getByRole("alert").getByText("does not answer as OBS").waitFor({ timeout: 15000 });

  // A port that is none is said beside its field.
  world.expect(/422 \(Unprocessable/);
  await page.getByLabel("Server port").fill("many");
  await page.getByRole("button", { name: "Save the connection" }).click();
  await page.locator("#obs-port-wrong").waitFor();
  await world.examine(page, "obs-wrong");

  await page.getByLabel("Server port").fill(port);
  await page.getByLabel("Server password").fill("hush-hush-password");
  await page.getByRole("button", { name: "Save the connection" }).click();
  await page.locator("#now").getByText("Not connected").waitFor();
  assert.equal((await world.call("GET", "/api/v1/obs/status")).password, true);
  assert.ok(!(await page.content()).includes("hush-hush-password"), "the password is never shown again");
  assert.equal(await page.getByRole("button", { name: "Set it up for me" }).count(), 0, "nothing to set up while it is away");

  // Names are typed while OBS cannot say what it has.
  await page.getByLabel("While somebody is on air", { exact: true }).fill("Live");
  await page.getByLabel("Shown only while somebody is next").fill("Banner\nArrow");
  await page.getByLabel("Start it with the show, and watch it").check();
  await page.getByRole("button", { name: "Save what OBS does" }).click();
  const mapping = async () => (await world.call("GET", "/api/v1/obs/status")).mapping;
  await until("the mapping", async () => (await mapping()).scene_on_air === "Live");
  assert.deepEqual((await mapping()).show_next, ["Banner", "Arrow"]);
  assert.equal((await mapping()).stream, true);
  await page.goto("/admin/obs");
  assert.equal(await page.getByLabel("While somebody is on air", { exact: true }).inputValue(), "Live");
  await world.examine(page, "obs-away");

  // It changes by itself, and what somebody is writing meanwhile stays.
  await page.getByLabel("While nobody is on air", { exact: true }).fill("Break");
  await world.call("PATCH", "/api/v1/settings", { "obs.host": null });
  await page.locator("#now").getByText("Not set up").waitFor();
  assert.equal(await page.getByLabel("While nobody is on air", { exact: true }).inputValue(), "Break");

  // Those who run the night do not see the tab.
  const operator = await world.visitor({ size: DESK });
  await world.signIn(operator, "Otto");
  await operator.goto("/admin");
  assert.equal(await operator.getByRole("link", { name: "OBS", exact: true }).count(), 0);

  // And all of it works without scripts.
  const plain = await world.visitor({ size: DESK, script: false });
  await world.signIn(plain, "Olga");
  await plain.goto("/admin/obs");
  await plain.getByLabel("Where OBS runs").fill("127.0.0.1");
  await plain.getByRole("button", { name: "Test connection" }).click();
  await plain.getByRole("alert").getByText("Nothing answers there").waitFor();
  await plain.getByRole("button", { name: "Save the connection" }).click();
  await plain.getByText("OBS is being connected").waitFor();
  await plain.getByRole("button", { name: "Connect now" }).click();
  await plain.getByText("OBS is asked again").waitFor();
}
