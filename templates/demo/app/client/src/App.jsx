import { useEffect, useState } from "react";

const BACKEND = import.meta.env.VITE_BACKEND_URL ?? "http://localhost:8000";

async function fetchJson(path, options) {
  const response = await fetch(BACKEND + path, options);
  if (!response.ok) throw new Error(`${BACKEND}${path} answered ${response.status}`);
  return response.json();
}

export default function App() {
  const [shop, setShop] = useState(null);
  const [name, setName] = useState("");
  const [error, setError] = useState(null);

  function reload() {
    return fetchJson("/items").then(setShop);
  }

  useEffect(() => {
    reload().catch((problem) => setError(problem.message));
  }, []);

  async function addItem(event) {
    event.preventDefault();
    try {
      await fetchJson("/items", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ name }),
      });
      setName("");
      setError(null);
      await reload();
    } catch (problem) {
      setError(problem.message);
    }
  }

  const instance = shop?.instance ?? "…";
  return (
    <main style={{ "--hue": hueOf(instance) }}>
      <h1>Corner shop</h1>
      <p className="instance">
        instance <b data-testid="instance">{instance}</b>
      </p>
      <ul data-testid="items">
        {shop?.items.map((item) => (
          <li key={item.id}>{item.name}</li>
        ))}
      </ul>
      <form onSubmit={addItem}>
        <input
          aria-label="New item"
          placeholder="Something else…"
          maxLength="80"
          required
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
        <button>Add</button>
      </form>
      {error && <p role="alert">{error}</p>}
      <footer>{BACKEND}</footer>
    </main>
  );
}

/** A colour for each instance, so that two previews are told apart at a glance. */
function hueOf(text) {
  return [...text].reduce((hue, letter) => (hue * 31 + letter.codePointAt(0)) % 360, 7);
}
