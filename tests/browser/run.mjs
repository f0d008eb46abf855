// node run.mjs SCENARIO: one scenario of the page in a real Chromium, against the box that the environment names. Started by the
// Rust tests in tests/page, which start that box and act on it when a scenario asks (see `ask` in world.mjs).
import { World } from "./world.mjs";

const name = process.argv[2];
const { default: scenario } = await import(`./scenarios/${name}.mjs`);
const world = await World.open(name);
try {
  await scenario(world);
  world.judge();
  console.log(`ok ${name}`);
} catch (error) {
  await world.last();
  console.log(`FAILED ${name}: ${error?.stack ?? error}`);
  world.confess();
  process.exitCode = 1;
} finally {
  await world.close();
}
process.exit();
