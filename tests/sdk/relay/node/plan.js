// A plan is read from the variable PLAN and carried out step by step, with calls of one SDK.
//
// Steps are lists: a name and arguments. Of every plan: ["times", n, step], in which "#" stands for
// the number of the turn; ["gate"], which waits for a line from the test; all others are the SDK's.
// What happens is told in lines of JSON on stdout. The program ends when its input does, so that
// what the SDK sends in the background has its time.
'use strict';

const readline = require('readline');

const plan = JSON.parse(process.env.PLAN);
const tell = (facts) => process.stdout.write(`TOLD ${JSON.stringify(facts)}\n`);
const lines = [];
const waiting = [];

readline.createInterface({ input: process.stdin })
  .on('line', (line) => (waiting.length ? waiting.shift()(line) : lines.push(line)))
  .on('close', () => process.exit(0));

const nextLine = () => new Promise((go) => (lines.length ? go(lines.shift()) : waiting.push(go)));

const numbered = (value, number) =>
  JSON.parse(JSON.stringify(value).replaceAll('#', String(number)));

// What a flush callback was called with: events come as text, as a list or as a request's body.
function flushed(error, events) {
  const body = typeof events === 'string' ? JSON.parse(events) : events;
  const list = Array.isArray(body) ? body : (body || {}).ev || [];
  tell({ callback: { error: error ? String(error) : null, events: list.length } });
}

async function carryOut(calls, steps) {
  for (const [name, ...args] of steps) {
    if (name === 'times') {
      for (let number = 0; number < args[0]; number++) {
        await carryOut(calls, [numbered(args[1], number)]);
      }
    } else if (name === 'gate') {
      tell({ gate: true });
      await nextLine();
    } else {
      await calls[name](...args);
    }
  }
}

async function main(start) {
  try {
    const calls = await start(plan);
    await carryOut(calls, plan.steps);
    tell({ done: true });
  } catch (error) {
    tell({ failed: error.stack });
  }
}

module.exports = { main, tell, flushed };
