/**
 * How the player looks: its style sheet and its shadow tree.
 *
 * Invariant: nothing stays over a live picture but what people asked for; the badge is there for
 * some seconds, under the pointer, and when pictures stop. Style goes through a constructed sheet,
 * which is allowed under any Content-Security-Policy.
 */

const STYLE = new CSSStyleSheet();
STYLE.replaceSync(`
  :host {
    display: block; position: relative; contain: layout paint; aspect-ratio: 16 / 9;
    overflow: hidden; background: #000; color: #f4f6f8; color-scheme: dark;
    font: 14px/1.45 system-ui, sans-serif; outline: none;
  }
  :host([hidden]), [hidden] { display: none !important; }
  :host(:focus-visible), button:focus-visible {
    outline: 3px solid #7cc0ff; outline-offset: -3px;
  }
  #box { position: absolute; inset: 0; container-type: inline-size; }
  canvas {
    position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain;
    transition: opacity .25s;
  }
  #box:not([data-state=live]) canvas { opacity: .28; }
  #badge {
    position: absolute; top: 12px; left: 12px; display: flex; align-items: center; gap: 7px;
    padding: 3px 10px 3px 9px; border-radius: 99px; background: #0b0d10c7; font-size: 12px;
    font-weight: 600; letter-spacing: .02em;
  }
  #badge::before {
    content: ""; width: 8px; height: 8px; border-radius: 50%; background: #ff5a52;
  }
  #box:not([data-state=live]) #badge { display: none; }
  :host(:not(:hover)) #box:not([data-quiet]) #badge { animation: leave .6s 5s both; }
  #notice {
    position: absolute; inset: 0; display: flex; flex-direction: column; align-items: center;
    justify-content: center; gap: 6px; padding: 16px; text-align: center; text-wrap: balance;
    animation: appear .2s .2s both;
  }
  #box[data-state=live]:not([data-data]) #notice { display: none; }
  #notice p { margin: 0; max-width: 46ch; overflow-wrap: anywhere; }
  #headline { font-size: 17px; font-weight: 600; }
  #detail { color: #c3cad3; }
  #spinner {
    width: 26px; height: 26px; margin-bottom: 8px; border: 3px solid #ffffff2e;
    border-top-color: #fff; border-radius: 50%; animation: turn .9s linear infinite;
  }
  #box:not([data-state=connecting], [data-state=reconnecting], [data-state=waiting]) #spinner {
    display: none;
  }
  button {
    display: grid; place-items: center; min-width: 36px; height: 36px; padding: 0 9px; border: 0;
    border-radius: 8px; background: #0b0d10c7; color: inherit; font: inherit; font-weight: 600;
    cursor: pointer;
  }
  button:hover { background: #2a313a; }
  button[aria-pressed=true] { background: #f4f6f8; color: #0b0d10; }
  button svg {
    width: 18px; height: 18px; fill: none; stroke: currentColor; stroke-width: 2;
    stroke-linecap: round; stroke-linejoin: round;
  }
  #retry { margin-top: 10px; padding: 0 16px; background: #f4f6f8; color: #0b0d10; }
  #retry:hover { background: #fff; }
  #controls {
    position: absolute; right: 10px; bottom: 10px; display: flex; gap: 6px; opacity: 0;
    transition: opacity .15s;
  }
  :host(:hover) #controls, :host(:focus-visible) #controls, #controls:focus-within { opacity: 1; }
  @media (hover: none) { #controls { opacity: 1; } }
  #stats {
    position: absolute; left: 12px; bottom: 12px; display: grid; gap: 1px 14px;
    grid-template-columns: auto auto; margin: 0; padding: 9px 12px; border-radius: 8px;
    background: #0b0d10db; font-size: 12px; line-height: 1.5; font-variant-numeric: tabular-nums;
    pointer-events: none;
  }
  #stats dt { color: #aeb7c2; }
  #stats dd { margin: 0; }
  @container (max-width: 420px) {
    #stats { left: 8px; bottom: 8px; padding: 6px 9px; font-size: 11px; line-height: 1.35; }
    #badge { top: 8px; left: 8px; }
    #headline { font-size: 15px; }
    #detail { font-size: 13px; }
    #controls { right: 8px; bottom: 8px; }
  }
  .spoken {
    position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden;
    clip-path: inset(50%); white-space: nowrap;
  }
  @keyframes turn { to { transform: rotate(1turn); } }
  @keyframes appear { from { opacity: 0; } }
  @keyframes leave { to { opacity: 0; visibility: hidden; } }
  @media (prefers-reduced-motion: reduce) {
    *, ::before { animation-duration: 0s !important; transition: none !important; }
  }
`);

const TEMPLATE = document.createElement("template");
TEMPLATE.innerHTML = `
<div id="box" data-state="idle">
  <canvas role="img" width="16" height="9"></canvas>
  <div id="badge" aria-hidden="true">Live</div>
  <div id="notice">
    <div id="spinner"></div>
    <p id="headline" aria-hidden="true"></p>
    <p id="detail" aria-hidden="true"></p>
    <button id="retry" type="button" hidden>Try again</button>
  </div>
  <dl id="stats" aria-label="Statistics" hidden></dl>
  <div id="controls">
    <button id="toggle-stats" type="button" aria-label="Statistics" aria-keyshortcuts="s"
      aria-pressed="false" title="Statistics (s)">
      <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M5 20v-6M12 20V4M19 20v-9"/></svg>
    </button>
    <button id="toggle-fullscreen" type="button" aria-label="Full screen" aria-keyshortcuts="f"
      title="Full screen (f)">
      <svg viewBox="0 0 24 24" aria-hidden="true">
        <path d="M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5"/>
      </svg>
    </button>
  </div>
  <p id="status" class="spoken" role="status" aria-live="polite"></p>
</div>`;

/** Fills an empty shadow tree. @param {ShadowRoot} root */
export function furnish(root) {
  root.append(TEMPLATE.content.cloneNode(true));
  root.adoptedStyleSheets = [STYLE];
}
