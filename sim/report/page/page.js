// Pointing at a run, in a table or in a plot, sets it off in all plots; a click keeps it so until the next.
(function () {
  var kept = null;
  function show(run) {
    document.body.classList.toggle("one", run !== null);
    document.querySelectorAll("[data-run]").forEach(function (e) {
      e.classList.toggle("on", e.getAttribute("data-run") === run);
    });
  }
  function of(event) {
    var e = event.target.closest("[data-run]");
    return e ? e.getAttribute("data-run") : null;
  }
  document.addEventListener("mouseover", function (event) { var run = of(event); show(run === null ? kept : run); });
  document.addEventListener("click", function (event) { var run = of(event); kept = run === kept ? null : run; show(kept); });
})();
