// Draws the API's description. An own file, so that the page needs no inline script.
(() => {
  const place = document.getElementById("api-docs");
  window.SwaggerUIBundle({
    domNode: place,
    url: place.dataset.spec,
    deepLinking: true,
    validatorUrl: null, // or the page would ask another site
    presets: [window.SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
  });
})();
