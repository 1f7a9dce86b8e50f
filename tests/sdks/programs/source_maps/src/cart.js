export function addToCart(cart, item) {
  const price = item.offer.price;
  cart.total += price;
  cart.items.push(item.name);
  return cart;
}

export function checkout(cart, names) {
  for (const name of names) addToCart(cart, { name });
  return cart;
}
