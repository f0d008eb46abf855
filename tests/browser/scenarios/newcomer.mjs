// Somebody who was told the page's address and nothing else, at a computer: on air within three minutes, with the command that the page
// shows as it stands.
import { spawn } from "node:child_process";
import { assert, DESK, until } from "../world.mjs";

const PATIENCE = 180_000;

export default async function (world) {
  const begun = Date.now();
  const page = await world.visitor({ size: DESK });
  await page.goto("/");
  await page.getByRole("link", { name: "Take the stage" }).click();
  // As fast as people type on a phone, two letters a second.
  const type = async (label, text) => {
    await page.getByLabel(label, { exact: true }).click();
    await page.keyboard.type(text, { delay: 200 });
  };
  await type("Your name", "Newcomer");
  await type("Password", "correct horse");
  await page.getByRole("button", { name: "Join", exact: true }).click();
  await page.getByText("Welcome, Newcomer").waitFor();
  await page.getByText("ffmpeg (RTMP)").click();
  const command = (await page.locator("#ffmpeg-rtmp").textContent()).trim();
  assert.ok(command.includes(" INPUT "), `what to put in stands out: ${command}`);
  // What to stream is one's own; and the name is one that this browser alone can look up.
  const line = command.replace(" INPUT ", ` '${process.env.ASSET_A}' `).replace("motherstream.local", "127.0.0.1");
  const encoder = spawn("sh", ["-c", `exec ${line.replace("ffmpeg ", "ffmpeg -nostdin -v error ")}`], { stdio: "ignore" });
  world.encoders.push(encoder);
  await page.getByRole("region", { name: "Your place" }).getByText("On air").waitFor({ timeout: 60000 });
  const took = Date.now() - begun;
  console.log(`  on air ${Math.round(took / 1000)} s after opening the page`);
  assert.ok(took < PATIENCE);
  await page.getByRole("region", { name: "Your stream" }).getByText("640 × 360").waitFor({ timeout: 20000 });
  await page.screenshot({ path: `${world.artefacts}/newcomer.png`, fullPage: true });
  await page.goto("/");
  await page.getByRole("heading", { name: "Newcomer" }).waitFor();
  await until("the box to say so too", async () => (await world.onAir()) === "Newcomer");
}
