// The box that is an image of its own: an update from its page, a restart, the way back to the factory. RAUC is a simulation.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { assert, DESK, env, until } from "../world.mjs";

/** A file that looks like an update: how it begins, and the signature at its end. */
function bundle(word) {
  const body = Buffer.alloc(30_000, 7);
  body.write(`hsqs${word}`);
  const signature = Buffer.alloc(1600, 1);
  signature.writeUInt16BE(0x3082);
  const size = Buffer.alloc(8);
  size.writeBigUInt64BE(BigInt(signature.length));
  return Buffer.concat([body, signature, size]);
}

export default async function (world) {
  await world.crew("Olga", "admin");
  const page = await world.visitor({ size: DESK });
  await world.signIn(page, "Olga");
  const file = (name, content) => {
    const path = join(env("FOLDER"), name);
    writeFileSync(path, content);
    return path;
  };
  const install = async (path) => {
    await page.goto("/admin/system");
    await page.locator("#update-file").setInputFiles(path);
    await page.getByRole("button", { name: "Install", exact: true }).click();
  };
  const stage = async () => (await world.call("GET", "/api/v1/update")).progress.stage;

  await page.goto("/admin/system");
  await page.getByText("Runs now").waitFor();
  await world.examine(page, "machine-nothing");

  // Another file, and an update of somebody else: each is told in words, and stays told.
  world.expect(/422 \(Unprocessable/);
  await install(file("holiday.raucb", "a letter"));
  await page.getByText(/not a whole update/).first().waitFor();
  await install(file("foreign.raucb", bundle("other-key")));
  await page.getByText(/not signed by those who made/).first().waitFor();
  await page.goto("/admin/system");
  await page.getByText(/not signed by those who made/).first().waitFor();
  await world.examine(page, "machine-refused");

  // During a show nothing begins.
  await world.call("PUT", "/api/v1/show", { on: true });
  world.expect(/409 \(Conflict/);
  await install(file("good.raucb", bundle("good")));
  await page.getByText(/a show is on/i).first().waitFor();
  await world.call("PUT", "/api/v1/show", { on: false });

  await install(file("good.raucb", bundle("good")));
  await page.waitForURL(/\/admin\/system/);
  await page.getByText("Do not pull the plug").waitFor();
  await world.examine(page, "machine-installing");
  file("bin/rauc.go", "");
  await until("the update to be installed", async () => (await stage()) === "installed");
  await page.goto("/admin/system");
  await page.getByText("Version 2.0 is installed").waitFor();
  await world.examine(page, "machine-installed");

  await page.getByRole("button", { name: "Start the box again" }).click();
  await page.getByText(/The box starts again/).first().waitFor();

  // The venue's name, or nothing.
  await page.goto("/admin/system");
  await page.getByLabel(/Type the venue's name/).fill("yes");
  await page.getByRole("button", { name: "Clear everything" }).click();
  await page.getByText(/type the venue's name, The Harbour, to confirm/i).first().waitFor();
  await page.goto("/admin/system");
  await page.getByLabel(/Type the venue's name/).fill("The Harbour");
  await page.getByRole("button", { name: "Clear everything" }).click();
  await page.getByText(/forgets everything/).first().waitFor();
  assert.equal(new URL(page.url()).pathname, "/admin/system");
}
