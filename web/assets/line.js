// The line to the box: one stream of events for everything that a browser shows of it. A browser has six connections to one box for all
// its pages, docks and overlays, and an order that finds all of them taken waits unseen. So one shared worker (worker.js) holds one line
// for all pages of a browser; where there are no shared workers, each page holds its own by this same class.
"use strict";
// eslint-disable-next-line no-unused-vars
const Feed = (() => {
  // A line on which nothing has come for so long does not come through: something between here and the box keeps it back.
  const FIRST = 5000;
  // The box beats every 10 s.
  const SILENT = 25000;
  // Without a line the box is asked instead, every so often; what has not changed is not sent again.
  const ASK = 3000;
  // No question takes longer than this.
  const PATIENCE = 8000;
  // A line that is held back, or has no place, while questions are answered is not tried all the time.
  const SELDOM = 15000;

  const chance = (milliseconds) => milliseconds * (0.8 + 0.4 * Math.random());

  // Server-sent events, as they arrive. `of` says which topic the parts behind it belong to.
  const parse = (text, hear) => {
    let topic = "";
    for (const event of text.split("\n\n")) topic = one(event, topic, hear);
  };
  const one = (event, topic, hear) => {
    let name = "";
    const data = [];
    for (const line of event.split("\n")) {
      if (line.startsWith("event: ")) name = line.slice(7);
      else if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
    }
    if (name === "of") return data.join("");
    if (name) hear(name, data.join("\n"), topic);
    return topic;
  };

  return class Feed {
    // `tell` is given what happens: { kind: "open" }; { kind: "part", topic, name, data }; { kind: "beat", data }, the box's clock and
    // build; { kind: "refused", topic }, not for this browser's session; { kind: "lost", begun }, with whether there was a line before;
    // { kind: "asked" }, the box answers questions while there is no line; { kind: "away" }, not even that.
    constructor(tell) {
      this.tell = tell;
      this.of = [];
      this.as = "";
      this.isOpen = false;
    }

    // Which topics, and for which account: the box gives what is not for everybody only to the session of that account.
    want(of, as) {
      if (this.stopped && of.join() === this.of.join() && as === this.as) return;
      this.stop();
      [this.of, this.as] = [of, as];
      if (of.length === 0) return;
      this.stopped = new AbortController();
      this.tag = "";
      this.answers = false;
      this.held = 0;
      this.hold(this.stopped.signal);
    }

    stop() {
      this.stopped?.abort();
      this.stopped = undefined;
      this.isOpen = false;
      clearTimeout(this.asking);
    }

    get query() {
      return `of=${this.of.join()}&as=${encodeURIComponent(this.as)}`;
    }

    async hold(stopped) {
      this.lose(false, stopped);
      for (let tries = 0; !stopped.aborted; ) {
        try {
          await this.listen(stopped);
        } catch {
          // Why makes no difference: the next one may be better.
        }
        if (stopped.aborted) return;
        if (this.isOpen) {
          this.isOpen = false;
          [tries, this.held] = [0, 0];
          this.lose(true, stopped);
        } else if (this.answers) this.held += 1;
        // 0.5, 1, 2, 4, 5, 5 ... seconds, and a little by chance: a whole venue must not come back in one instant.
        const wait = this.held > 1 ? SELDOM : Math.min(5000, 500 * 2 ** Math.min(tries, 5));
        tries += 1;
        await new Promise((go) => {
          this.go = go;
          setTimeout(go, chance(wait));
        });
      }
    }

    // One stream, to its end.
    async listen(stopped) {
      const over = new AbortController();
      const end = () => over.abort();
      stopped.addEventListener("abort", end);
      let watch = setTimeout(end, FIRST);
      try {
        const answer = await fetch(`/live?${this.query}`, { cache: "no-store", headers: { accept: "text/event-stream" }, signal: over.signal });
        if (!answer.ok) {
          await answer.body?.cancel();
          return;
        }
        const reader = answer.body.getReader();
        const text = new TextDecoder();
        let kept = "";
        let topic = "";
        for (;;) {
          const { value, done } = await reader.read();
          if (done || stopped.aborted) return;
          kept += text.decode(value, { stream: true });
          const events = kept.split("\n\n");
          kept = events.pop();
          for (const event of events) {
            topic = one(event, topic, (name, data, of) => {
              clearTimeout(watch);
              watch = setTimeout(end, SILENT);
              if (!this.isOpen) {
                this.isOpen = true;
                clearTimeout(this.asking);
                this.tell({ kind: "open" });
              }
              this.hear(name, data, of);
            });
          }
        }
      } finally {
        clearTimeout(watch);
        stopped.removeEventListener("abort", end);
        end();
      }
    }

    hear(name, data, topic) {
      if (name === "beat") this.tell({ kind: "beat", data });
      else if (name === "refused") for (const of of data.split(",")) this.tell({ kind: "refused", topic: of });
      else this.tell({ kind: "part", topic, name, data });
    }

    // There is no line: a blink is nobody's business, then the box is asked.
    lose(begun, stopped) {
      this.tag = "";
      this.answers = false;
      if (begun) this.tell({ kind: "lost", begun });
      clearTimeout(this.asking);
      this.asking = setTimeout(() => {
        if (!begun) this.tell({ kind: "lost", begun });
        this.ask(stopped);
      }, FIRST);
    }

    async ask(stopped) {
      const late = new AbortController();
      const end = () => late.abort();
      const timer = setTimeout(end, PATIENCE);
      stopped.addEventListener("abort", end);
      let answered = false;
      try {
        const headers = this.tag ? { "if-none-match": this.tag } : {};
        const answer = await fetch(`/live/now?${this.query}`, { cache: "no-store", headers, signal: late.signal });
        const text = answer.ok ? await answer.text() : "";
        answered = answer.ok || answer.status === 304;
        if (answered && !this.isOpen && !stopped.aborted) {
          const beat = answer.headers.get("motherstream-beat");
          if (beat) this.tell({ kind: "beat", data: beat });
          this.tag = answer.headers.get("etag") || "";
          parse(text, (name, data, topic) => this.hear(name, data, topic));
        }
      } catch {
        // The box is away.
      }
      clearTimeout(timer);
      stopped.removeEventListener("abort", end);
      if (stopped.aborted || this.isOpen) return;
      this.tell({ kind: answered ? "asked" : "away" });
      // It is back: the line may be, too.
      if (answered && !this.answers) this.go?.();
      this.answers = answered;
      clearTimeout(this.asking);
      this.asking = setTimeout(() => this.ask(stopped), chance(ASK));
    }
  };
})();
