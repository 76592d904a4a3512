extern int ph_empty; int ph_empty;
