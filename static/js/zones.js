// Adds a search to the lists of time zones in admin: "new york" finds America/New_York.
"use strict";

{
  const plain = (words) => words.toLowerCase().replaceAll("_", " ").trim();

  function matcher({ term }, data) {
    if (!term?.trim()) return data;
    if (!data.children) return plain(data.text).includes(plain(term)) ? data : null;
    const children = data.children.filter((zone) => plain(zone.text).includes(plain(term)));
    return children.length ? { ...data, children } : null;
  }

  document.addEventListener("DOMContentLoaded", () =>
    django.jQuery("select.zones").select2({ theme: "admin-autocomplete", width: "20em", matcher }),
  );
}
