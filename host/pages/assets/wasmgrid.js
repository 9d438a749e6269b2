// What pages do beyond their HTML: times in the reader's zone, whether the page is live, and rows that
// stay still under a pointer. Every page works without it.
(() => {
  'use strict';
  const two = (n) => String(n).padStart(2, '0');
  const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');
  const minute = (t) => two(t.getHours()) + ':' + two(t.getMinutes());
  const second = (t) => minute(t) + ':' + two(t.getSeconds());
  const day = (t) => t.getDate() + ' ' + MONTHS[t.getMonth()];
  const STYLES = {
    m: minute,
    s: second,
    f: (t) => second(t) + '.' + String(t.getMilliseconds()).padStart(3, '0'),
    d: (t) => day(t) + ' ' + second(t),
    y: (t) => day(t) + ' ' + t.getFullYear(),
  };

  const local = (root) => {
    for (const at of root.querySelectorAll('time[data-t]')) {
      const style = STYLES[at.dataset.t];
      const time = new Date(at.getAttribute('datetime'));
      if (style && !isNaN(time)) at.textContent = style(time);
    }
  };
  local(document);
  const zone = document.getElementById('zone');
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && name) zone.textContent = name;

  const live = document.getElementById('live');
  const main = document.getElementById('main');
  if (!live || !main) return;
  const away = live.classList.contains('lost');
  const says = (text, lost) => {
    live.hidden = false;
    live.classList.toggle('lost', lost);
    main.classList.toggle('stale', lost && !away);
    live.lastElementChild.textContent = text;
  };
  let lost = false;
  document.body.addEventListener('htmx:sseOpen', () => {
    // What was missed is in the page as it is now.
    if (away || lost) location.reload();
    else says('live', false);
  });
  // What is asked for is no stream any more: if the page itself is not either, the session has ended.
  const ask = () => fetch(location.href, { redirect: 'manual' }).then((answer) => {
    if (answer.type === 'opaqueredirect') location.reload();
  }, () => {});
  document.body.addEventListener('htmx:sseError', (event) => {
    if (event.detail.source.readyState === EventSource.CLOSED) ask();
    if (away || lost) return;
    lost = true;
    says('not live since ' + second(new Date()), true);
  });
  document.body.addEventListener('htmx:sseBeforeMessage', (event) => {
    const part = event.target;
    if (!part.matches || !part.matches('[data-hold]')) return;
    if (part.matches(':hover') || part.contains(document.activeElement)) event.preventDefault();
  });
  document.body.addEventListener('htmx:sseMessage', (event) => local(event.target));
})();
