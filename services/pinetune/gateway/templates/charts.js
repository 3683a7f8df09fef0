(() => {
  // Figures name the style sheet's variables; Plotly wants colours, and the scheme may change while the page is open.
  const coloured = (value, style) => {
    if (typeof value === "string") {
      const name = /^var\((--[\w-]+)\)$/.exec(value);
      return name ? style.getPropertyValue(name[1]).trim() : value;
    }
    if (Array.isArray(value)) return value.map((each) => coloured(each, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, coloured(each, style)]));
    }
    return value;
  };
  const draw = () => {
    const style = getComputedStyle(document.documentElement);
    for (const place of document.querySelectorAll("[data-figure]")) {
      const figure = coloured(JSON.parse(place.dataset.figure), style);
      Plotly.react(place, figure.data, figure.layout, { responsive: true, displayModeBar: false });
    }
  };
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
