// The shared worker: holds one line to the box (line.js) for all pages of this browser, and hands each what it asked for.
"use strict";
(() => {
  // What everybody may see. All else is for one account, and comes by the line of that account's session alone.
  const OPEN = new Set(["room", "overlay"]);
  // A page says every 20 s that it is there, a hidden one every minute. One that was closed does not always say so.
  const GONE = 150000;
  // A topic that nobody wants is left out when the line is made anew anyway, or after so long: who walks through pages changes it often.
  const LINGER = 10000;

  const pages = new Map();
  // What came last, by topic and part: for pages that come later.
  const held = new Map();
  let account = "";
  let beat;
  let later;

  const may = (page) => !page.refused && (OPEN.has(page.topic) || (page.account !== "" && page.account === account));
  const tellAll = (message, wanted = () => true) => {
    for (const [port, page] of pages) if (wanted(page)) port.postMessage(message);
  };

  const feed = new Feed((message) => {
    const { kind, topic } = message;
    if (kind === "part") {
      if (!held.has(topic)) held.set(topic, new Map());
      held.get(topic).set(message.name, message.data);
      tellAll(message, (page) => page.topic === topic && may(page));
    } else if (kind === "refused") {
      held.delete(topic);
      for (const [port, page] of pages) {
        if (page.topic !== topic || page.refused) continue;
        page.refused = true;
        port.postMessage(message);
      }
      settle();
    } else {
      if (kind === "beat") beat = message;
      // The session may be over.
      if (kind === "lost") for (const of of held.keys()) if (!OPEN.has(of)) held.delete(of);
      tellAll(message, may);
    }
  });

  const wanted = () => [...new Set([...pages.values()].filter(may).map((page) => page.topic))].sort();

  const settle = () => {
    clearTimeout(later);
    const of = wanted();
    const more = of.some((topic) => !feed.of.includes(topic));
    if (more || feed.as !== account) {
      for (const topic of [...held.keys()]) if (!OPEN.has(topic) || !of.includes(topic)) held.delete(topic);
      feed.want(of, account);
    } else {
      later = setTimeout(() => feed.want(wanted(), account), LINGER);
    }
  };

  const join = (port, { topic, account: of }) => {
    const page = { topic, account: of, seen: Date.now(), refused: false };
    pages.set(port, page);
    if (!OPEN.has(topic) && of !== account) {
      // Somebody else is signed in here now. What is for the one before is nobody's business any more, and their pages are told.
      account = of;
      for (const [other, old] of pages) {
        if (OPEN.has(old.topic) || old.account === of || old.refused) continue;
        old.refused = true;
        other.postMessage({ kind: "refused", topic: old.topic });
      }
    }
    port.postMessage({ kind: "hello" });
    if (feed.isOpen && feed.of.includes(topic) && feed.as === account && may(page)) {
      port.postMessage({ kind: "open" });
      if (beat) port.postMessage(beat);
      for (const [name, data] of held.get(topic) ?? []) port.postMessage({ kind: "part", topic, name, data });
    }
    settle();
  };

  self.onconnect = ({ ports: [port] }) => {
    port.onmessage = ({ data }) => {
      if (data.kind === "bye") {
        pages.delete(port);
        settle();
      } else if (data.kind === "join" || !pages.has(port)) {
        join(port, data);
      } else {
        pages.get(port).seen = Date.now();
      }
    };
  };

  setInterval(() => {
    for (const [port, page] of pages) if (Date.now() - page.seen > GONE) pages.delete(port);
    settle();
  }, 30000);
})();
