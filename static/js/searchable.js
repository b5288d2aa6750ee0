// Puts a search field into the long lists of a form. Without this script they are ordinary lists.
"use strict";
{
  const { jQuery } = django;
  const improve = (root) => jQuery(root).find("select.searchable").not("[name*=__prefix__]").select2({ theme: "admin-autocomplete", width: "25em" });
  jQuery(() => improve(document));
  document.addEventListener("formset:added", (event) => improve(event.target));
}
