"""Pure judges that challenges share: what a history certainly or possibly shows, whenever it was decided."""
