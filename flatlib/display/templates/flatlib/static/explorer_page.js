// Runs MODULE, the explorer whose code stands above, on the states stored in the page.
function storedModel(state) {
  const listeners = [];
  return {
    get: (name) => state[name],
    set(name, value) {
      state[name] = value;
      for (const [event, listener] of listeners) if (event === `change:${name}`) listener();
    },
    save_changes() {},
    on: (event, listener) => listeners.push([event, listener]),
    off() {},
  };
}

for (const el of document.querySelectorAll(`.explorer[data-module="${MODULE}"]`)) {
  try {
    render({ model: storedModel(JSON.parse(el.querySelector("script").textContent)), el });
  } catch (error) {
    el.append(`The explorer's stored state cannot be shown: ${error.message}`);
  }
}
