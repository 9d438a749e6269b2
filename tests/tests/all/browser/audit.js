// What is wrong with how the page looks, as a list of sentences. Runs in the page, and changes nothing.
const wrong = [];
const root = document.scrollingElement;
if (root.scrollWidth > innerWidth) {
  const beyond = (at) => at.getBoundingClientRect().right > innerWidth + 1;
  const who = [...document.body.querySelectorAll('*')].filter(beyond).slice(0, 3);
  const names = who.map((at) => at.tagName + '.' + at.className).join(', ');
  wrong.push(`the page is ${root.scrollWidth} px wide in ${innerWidth}: ${names}`);
}

const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
// A computed colour as red, green, blue and alpha, however it is written.
const parts = (colour) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = ([r, g, b, a], below) =>
  [r, g, b].map((part, at) => part * a + below[at] * (1 - a));
const groundOf = (at) => {
  const layers = [];
  for (let above = at; above; above = above.parentElement) {
    const layer = parts(getComputedStyle(above).backgroundColor);
    layers.push(layer);
    if (layer[3] === 1) break;
  }
  return layers.reduceRight((below, layer) => over(layer, below), [255, 255, 255]);
};
// Luminance and contrast as WCAG 2 defines them.
const linear = (part) => part / 255 <= 0.04045
  ? part / 255 / 12.92
  : ((part / 255 + 0.055) / 1.055) ** 2.4;
const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const contrast = (one, other) => {
  const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
};
const check = (at, style, text) => {
  const ground = groundOf(at);
  const ink = over(parts(style.color), ground);
  const size = parseFloat(style.fontSize);
  const isLarge = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
  const found = contrast(ink, ground);
  if (found < (isLarge ? 3 : 4.5)) {
    const shown = text.trim().slice(0, 40);
    wrong.push(`${JSON.stringify(shown)} has a contrast of ${found.toFixed(2)} to its ground`);
  }
};

const isSeen = (at) => at.checkVisibility({ visibilityProperty: true, opacityProperty: true })
  && !at.closest('.hide, :disabled, option');
const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const seen = new Set();
let texts = 0;
while (words.nextNode()) {
  const at = words.currentNode.parentElement;
  if (!words.currentNode.data.trim() || seen.has(at) || !isSeen(at)) continue;
  seen.add(at);
  texts += 1;
  check(at, getComputedStyle(at), words.currentNode.data);
}
for (const at of document.body.querySelectorAll('td[data-l], .log li')) {
  const style = getComputedStyle(at, '::before');
  if (isSeen(at) && style.content !== 'none') check(at, style, style.content);
}
if (texts === 0) wrong.push('nothing can be read');

// What is drawn is seen.
for (const at of document.querySelectorAll('main svg :is(path, rect, circle, use)')) {
  if (at.closest('svg').checkVisibility() && !at.checkVisibility()) {
    wrong.push(`it is drawn and not seen: ${at.outerHTML.slice(0, 80)}`);
  }
}

// What can be pressed has words, and can be reached with the keyboard.
for (const at of document.querySelectorAll('a, button, summary, input:not([type=hidden]), select')) {
  if (!at.checkVisibility()) continue;
  const label = at.innerText.trim() || at.getAttribute('aria-label') || at.querySelector('[alt]')
    || at.labels?.[0]?.innerText;
  if (!label) wrong.push(`no words on ${at.outerHTML.slice(0, 80)}`);
  if (at.tabIndex < 0) wrong.push(`the keyboard does not reach ${at.outerHTML.slice(0, 80)}`);
}
return wrong;
