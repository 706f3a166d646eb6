/**
 * gfedge.js: the way from a web page to a gfedge server. One file, no dependency, for any frontend:
 *
 *   import { connect } from "http://edge.lan:8000/ui/gfedge.js";       // or a copy of it
 *   const api = connect({ server: "http://edge.lan:8000", token });    // at home (same origin): connect()
 *   const job = await api.post("/ai/generate", {}, { prompt: "a red dragon" });
 *   const live = api.stream("ai-jobs", { topics: [`job:${job.id}`], previews: true }, (message) => { ... });
 *
 * Paths are those of /docs without `/api/v1`. Params fill the `{names}` of a path; the rest are the query. Answers are
 * plain objects; whatever goes wrong is a `Problem` with a stable `code`. `gfedge.d.ts` has a type for every route.
 */

const PREFIX = "/api/v1";
const PROTOCOL = "gfedge.v1";
const STREAMS = {
  "ai-jobs": "/ml-platform/ws/ai-jobs",
  experiments: "/ml-platform/ws/experiments",
  "training-jobs": "/ml-platform/ws/training-jobs",
  metrics: "/monitoring/ws/metrics",
  alerts: "/monitoring/ws/alerts",
};
const FIRST_WAIT = 400, LONGEST_WAIT = 5_000;
/** Codes with which a server closes a stream for good: the token was revoked. */
const REFUSED = 1008;

/** What went wrong, as the server said it (RFC 9457); `status` 0 and `code` "unreachable" where none answered. */
export class Problem extends Error {
  /** @param {{status: number, code: string, title?: string, detail: string, field?: string}} said @param {number} retryAfter seconds */
  constructor(said, retryAfter = 0) {
    super(said.detail || said.title);
    this.name = "Problem";
    this.status = said.status;
    this.code = said.code;
    this.detail = said.detail || said.title;
    this.field = said.field || "";
    this.retryAfter = retryAfter;
    /** Everything that the server said; some problems have more than these members, as `gates` of a promotion. */
    this.said = said;
  }
}

/** @param {{server?: string, token?: string, onProblem?: (problem: Problem) => void}} [options] */
export function connect(options) {
  return new Client(options);
}

export class Client {
  constructor({ server = "", token = "", onProblem = () => {} } = {}) {
    this.server = server.replace(/\/+$/, "");
    this.token = token;
    this.onProblem = onProblem;
  }

  get(path, params, options) { return this.call("GET", path, params, undefined, options); }
  post(path, params, body, options) { return this.call("POST", path, params, body ?? {}, options); }
  put(path, params, body, options) { return this.call("PUT", path, params, body, options); }
  patch(path, params, body, options) { return this.call("PATCH", path, params, body ?? {}, options); }
  delete(path, params, options) { return this.call("DELETE", path, params, undefined, options); }

  /** Sends a request and gives the decoded JSON; null where there is none. A body is JSON, or a Blob as it is. */
  async call(method, path, params = {}, body = undefined, options = {}) {
    const answer = await this.fetch(method, path, params, body, options);
    return (answer.headers.get("Content-Type") || "").includes("json") ? answer.json() : null;
  }

  /** The whole Response, for what is no JSON. Raises a Problem where it is not a success. */
  async fetch(method, path, params = {}, body = undefined, { headers = {}, signal } = {}) {
    const sent = { ...headers };
    if (this.token) sent.Authorization = `Bearer ${this.token}`;
    if (body instanceof Blob) sent["Content-Type"] ??= body.type || "application/octet-stream";
    else if (body !== undefined) [sent["Content-Type"], body] = ["application/json", JSON.stringify(body)];
    let answer;
    try {
      answer = await fetch(this.url(path, params), { method, headers: sent, body, signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw this.#failed({ status: 0, code: "unreachable", detail: "the server does not answer" });
    }
    if (answer.ok) return answer;
    throw this.#failed(await said(answer), Number(answer.headers.get("Retry-After")) || 0);
  }

  #failed(said, retryAfter) {
    const problem = new Problem(said, retryAfter);
    this.onProblem(problem);
    return problem;
  }

  /** The address of a path; paths that do not begin below the prefix (`/health`, `/prometheus/...`) are taken as they are. */
  url(path, params = {}) {
    const left = { ...params };
    const filled = path.replace(/\{(\w+)\}/g, (_, name) => {
      const value = String(left[name]);
      delete left[name];
      return name === "path" ? value.split("/").map(encodeURIComponent).join("/") : encodeURIComponent(value);
    });
    const query = new URLSearchParams(Object.entries(left).filter(([, value]) => value !== undefined && value !== null && value !== ""));
    const rooted = /^\/(health|metrics|openapi\.json|docs|prometheus)(\/|$)/.test(path);
    return `${this.server}${rooted ? "" : PREFIX}${filled}${query.size ? `?${query}` : ""}`;
  }

  /** Every item of a listing, page after page. */
  async *pages(path, params = {}, what = undefined) {
    let cursor = "";
    while (cursor !== null) {
      const page = await this.get(path, { ...params, cursor });
      yield* page[what ?? Object.keys(page).find((name) => Array.isArray(page[name]))];
      cursor = page.next ?? null;
    }
  }

  /** A job that enlarges a picture: a File or Blob, or the sha256 of an asset. */
  upscale(picture, params = {}, options = {}) {
    if (typeof picture === "string") return this.post("/ai/superres", {}, { asset: picture, ...params }, options);
    return this.post("/ai/superres", params, picture, options);
  }

  /** Something an <img> can show: a plain address at home, a blob: address where a token has to be sent. */
  async picture(sha256) {
    if (!this.token) return this.url("/assets/{sha256}", { sha256 });
    return URL.createObjectURL(await (await this.fetch("GET", "/assets/{sha256}", { sha256 })).blob());
  }

  /** Who this page is logged in as. */
  session() { return this.get("/auth/session"); }
  /** Logs this browser in by `{ token }` or the code of a setup link, `{ setup }`; the cookie is out of scripts' reach. */
  login(body) { return this.post("/auth/session", {}, body); }
  logout() { return this.delete("/auth/session"); }

  /** Listens to a stream until it is closed; `hear` gets every message, `tell` the state of the connection. */
  stream(name, wanted, hear, tell = () => {}) {
    return new Stream(this, STREAMS[name] ?? name, wanted, hear, tell);
  }
}

/**
 * A live stream that comes back by itself. A `snapshot` is first; after a break it goes on behind the last message seen
 * (`resumed`), or with a new `snapshot` where that is too long ago. States: "connecting", "live", "lost", "refused".
 */
export class Stream {
  #client; #path; #wanted; #hear; #tell; #socket = null; #seq = null; #tries = 0; #timer = 0; #closed = false;

  constructor(client, path, wanted, hear, tell) {
    [this.#client, this.#path, this.#wanted, this.#hear, this.#tell] = [client, path, wanted, hear, tell];
    addEventListener("online", this.#now);
    addEventListener("pageshow", this.#now);
    this.#open();
  }

  /** Wants something else from now on; a new snapshot comes. */
  change(wanted) {
    this.#wanted = wanted;
    this.#seq = null;
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(wanted));
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    removeEventListener("online", this.#now);
    removeEventListener("pageshow", this.#now);
    this.#socket?.close();
  }

  #now = () => {
    if (this.#socket === null && !this.#closed) { clearTimeout(this.#timer); this.#open(); }
  };

  async #open() {
    this.#tell(this.#tries ? "lost" : "connecting");
    try {
      const protocols = await this.#protocols();
      if (this.#closed) return;
      const address = new URL(this.#client.url(this.#path), location.href);
      address.protocol = address.protocol.replace("http", "ws");
      const socket = this.#socket = new WebSocket(address, protocols);
      socket.onopen = () => socket.send(JSON.stringify(this.#subscription()));
      socket.onmessage = (event) => this.#heard(JSON.parse(event.data));
      socket.onclose = (event) => this.#lost(event.code);
    } catch (error) {
      this.#lost(error.status === 401 ? REFUSED : 0);
    }
  }

  /** WebSockets cannot send a token: they take a ticket that works once. */
  async #protocols() {
    if (!this.#client.token) return [PROTOCOL];
    const { ticket } = await this.#client.post("/auth/ws-ticket");
    return [PROTOCOL, `ticket.${ticket}`];
  }

  #subscription() {
    return this.#seq === null ? this.#wanted : { ...this.#wanted, since_seq: this.#seq };
  }

  #heard(message) {
    if (this.#closed) return;
    if (this.#seq === null || this.#tries) this.#tell("live");
    this.#tries = 0;
    this.#seq = message.seq;
    this.#hear(message);
  }

  #lost(code) {
    this.#socket = null;
    if (this.#closed) return;
    if (code === REFUSED) return this.#tell("refused");
    this.#tries += 1;
    this.#tell("lost");
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (this.#tries - 1));
    this.#timer = setTimeout(() => this.#open(), wait * (0.5 + Math.random() / 2));
  }
}

async function said(answer) {
  try {
    const body = await answer.json();
    return body.detail === undefined ? { ...body, status: answer.status, code: "http_error", detail: body.error ?? answer.statusText } : body;
  } catch {
    return { status: answer.status, code: "http_error", detail: `the server answered ${answer.status} ${answer.statusText}` };
  }
}
