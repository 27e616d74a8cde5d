"use strict";
document.querySelectorAll("th[aria-sort] button").forEach(function (button) {
  button.addEventListener("click", function () {
    var head = button.parentNode, row = head.parentNode, body = row.parentNode.parentNode.tBodies[0];
    var column = Array.prototype.indexOf.call(row.children, head);
    var up = head.getAttribute("aria-sort") !== "ascending";
    Array.prototype.forEach.call(row.children, function (other) {
      other.setAttribute("aria-sort", other === head ? (up ? "ascending" : "descending") : "none");
    });
    Array.prototype.slice.call(body.rows).sort(function (one, two) {
      var a = one.cells[column].dataset.v, b = two.cells[column].dataset.v;
      if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
      var order = head.className === "n" ? a - b : a.localeCompare(b);
      return up ? order : -order;
    }).forEach(function (line) { body.appendChild(line); });
  });
});
addEventListener("beforeprint", function () {
  document.querySelectorAll("details").forEach(function (part) { part.open = true; });
});
