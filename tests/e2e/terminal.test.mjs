// `run` at a terminal: what is typed there reaches the command once, and the command's answer counts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { join } from 'node:path';
import { binary, here, run, startSandbox } from './support.mjs';

test('Ctrl-C reaches the command once, and its exit code is kept', async () => {
  const sandbox = await startSandbox();
  try {
    const result = await run('python3', [join(here, 'ctrl_c.py'), binary, sandbox.config]);
    assert.equal(result.code, 0, result.stderr);
    assert.match(result.stdout, /seen 1\b/);
    assert.match(result.stdout, /exit 6$/m);
  } finally {
    await sandbox.stop();
  }
});
