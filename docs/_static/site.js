// Whoever has no mouse can scroll what is too wide, and tell the two side bars apart.
document.addEventListener("DOMContentLoaded", () => {
  for (const block of document.querySelectorAll("pre, .table-wrapper")) {
    if (block.scrollWidth > block.clientWidth) block.tabIndex = 0;
  }
  document.querySelector(".sidebar-drawer")?.setAttribute("aria-label", "The site");
  document.querySelector(".toc-drawer")?.setAttribute("aria-label", "This page");
});
