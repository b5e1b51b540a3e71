"""Makes the parts of the site that are computed: pages from the registry, results, copies, gallery, check of links."""
