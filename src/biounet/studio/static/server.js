// Talking with the server. The token is part of the page's address, so all addresses are relative.

const base = new URL(".", location.href);

/** What the server refused, in words; status 0: it could not be reached. */
export class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function address(path, parameters = {}) {
  const url = new URL(path, base);
  for (const [key, value] of Object.entries(parameters)) url.searchParams.set(key, value);
  return url;
}

async function answer(request) {
  let response;
  try {
    response = await request;
  } catch {
    throw new Problem(0, "The studio cannot be reached. Is it still running?");
  }
  if (response.ok) return response;
  const text = await response.text();
  let message = text || `The studio answered with ${response.status}.`;
  try {
    const { found, wanted, remedy } = JSON.parse(text);
    message = `Found ${found}; wanted ${wanted}; ${remedy}.`;
  } catch { /* plain text */ }
  throw new Problem(response.status, message);
}

export async function getJson(path, parameters) {
  return (await answer(fetch(address(path, parameters)))).json();
}

/** Raw bytes, and what the server says about them. */
export async function getBytes(path, parameters, signal) {
  const response = await answer(fetch(address(path, parameters), { signal }));
  const about = JSON.parse(response.headers.get("X-About") ?? "null");
  return { bytes: await response.arrayBuffer(), about };
}

export async function post(path, body) {
  const request = fetch(address(path), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return (await answer(request)).json();
}

/** Listen to what happens; `handlers` has one function per kind of event, and `lost`. */
export function listen(handlers) {
  const source = new EventSource(address("api/events"));
  for (const [kind, handle] of Object.entries(handlers)) {
    if (kind !== "lost") source.addEventListener(kind, (event) => handle(JSON.parse(event.data)));
  }
  source.onerror = () => handlers.lost();
}
