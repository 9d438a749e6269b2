// Totals one order: JSON in, JSON out. Against the grid's world, guest-sdk/wit/world.wit.

import { info } from "wasmgrid:task/context@0.1.0";
import { emit } from "wasmgrid:task/io@0.1.0";
import { log } from "wasi:logging/logging@0.1.0-draft";

/** A wrong input is a failure that running again would not mend. */
const rejected = (message) => ({ tag: "rejected", val: message });

function parse(input) {
  try {
    return JSON.parse(new TextDecoder().decode(input));
  } catch (error) {
    throw rejected(`no JSON: ${error.message}`);
  }
}

/** Cents, so that no sum is rounded. */
function total(item) {
  const { name, cents, count = 1 } = item;
  if (!Number.isInteger(cents) || !Number.isInteger(count) || cents < 0 || count < 1) {
    throw rejected(`${name ?? "an item"}: cents and count must be whole numbers`);
  }
  return cents * count;
}

export const guest = {
  run(input) {
    const order = parse(input);
    if (!Array.isArray(order.items)) throw rejected("an order needs its items");
    const cents = order.items.map(total).reduce((sum, one) => sum + one, 0);
    if (cents === 0) log("warn", "orders", `order ${order.id} is free`);
    if (cents >= 100_000) emit(new TextEncoder().encode(`order ${order.id} is to be looked at`));
    const { index } = info();
    const line = { line: Number(index) + 1, id: order.id, cents };
    return new TextEncoder().encode(JSON.stringify(line));
  },
};
