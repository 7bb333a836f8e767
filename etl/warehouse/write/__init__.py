"""How rows get into the warehouse: ``batch`` commits them with the bookmarks that claim them."""
